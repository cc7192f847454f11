"""Right and wrong sizes in the headers of WAV, RF64, W64, AIFF, CAF and AU files."""

import struct

import numpy as np
import pytest
from _encoded import RATE, check_samples, decode, encode, patch

from sktagger.audio.reading import MemoryFile, Section, audio_info, read_audio

UNKNOWN = [0, 2**31 - 2**12, 2**31 - 1, 2**31, 2**32 - 37, 2**32 - 1]
SAMPLES = np.round(np.random.default_rng(0).uniform(-0.5, 0.5, 2000) * 2**15) / 2**15
GUANO = b"guan" + struct.pack("<I", 26) + b"GUANO|Version:1.0\nLoc: 0 0"
CONTENT = {kind: encode(SAMPLES, format=kind) for kind in ["WAV", "RF64", "W64", "AIFF", "AU"]}
CONTENT["CAF"] = encode(SAMPLES, format="CAF", subtype="PCM_16")
CONTENT["RIFX"] = encode(SAMPLES, format="WAV", endian="BIG")
WAV = CONTENT["WAV"]
# format -> where the size of the samples is, its layout, the same for the size of the whole
SIZES = {
    "WAV": (40, "<I", 4),
    "RIFX": (40, ">I", 4),
    "RF64": (28, "<Q", 20),
    "W64": (CONTENT["W64"].find(b"data") + 16, "<Q", 16),
    "AIFF": (CONTENT["AIFF"].find(b"SSND") + 4, ">I", 4),
    "CAF": (CONTENT["CAF"].find(b"data") + 4, ">Q", None),
    "AU": (8, ">I", None),
}


def unknown_sizes(layout):
    return UNKNOWN if layout.endswith("I") else [0, 2**63 - 1, 2**64 - 1]


@pytest.mark.parametrize("kind", SIZES)
def test_files_with_right_sizes_are_read(kind):
    check_samples(CONTENT[kind], SAMPLES)


@pytest.mark.parametrize("kind", SIZES)
def test_size_of_samples_that_a_program_did_not_know(kind):
    at, layout, outer_at = SIZES[kind]
    for size in unknown_sizes(layout):
        content = patch(CONTENT[kind], at, size, layout)
        check_samples(content, SAMPLES)
        if outer_at is not None:
            check_samples(patch(content, outer_at, size, layout), SAMPLES)


def test_number_of_samples_that_a_program_did_not_know():
    at = CONTENT["AIFF"].find(b"COMM") + 10
    for n_samples in [0, 2**32 - 1]:
        content = patch(CONTENT["AIFF"], at, n_samples, ">I")
        check_samples(content, SAMPLES)
        check_samples(patch(content, SIZES["AIFF"][0], 0, ">I"), SAMPLES)


@pytest.mark.parametrize("size", [0, 100, len(WAV) + 36, 5 * 10**8, 2**32 - 1])
def test_size_of_the_whole_does_not_matter(size):
    check_samples(patch(WAV, 4, size), SAMPLES)


@pytest.mark.parametrize("excess", [1, 2, 44, 36])
def test_size_of_samples_that_counts_other_bytes(excess):
    check_samples(patch(WAV, 40, 4000 + excess), SAMPLES)


@pytest.mark.parametrize("size", [4000, 0, 2**32 - 1, 4000 - 8, 4000 + 8, 4000 + 44, 2000])
@pytest.mark.parametrize("n_cut", [0, 9])
def test_chunk_at_the_end_is_no_sound(size, n_cut):
    content = (WAV + GUANO)[: len(WAV + GUANO) - n_cut]
    content = patch(content, 4, len(WAV + GUANO) - 8)
    if n_cut and size > 4000 and size < 2**31:
        return  # the file may also be cut off
    check_samples(patch(content, 40, size), SAMPLES)


def test_chunk_at_the_end_of_aiff_is_no_sound():
    name = b"NAME" + struct.pack(">I", 4) + b"Bark"
    content = CONTENT["AIFF"] + name
    check_samples(content, SAMPLES)
    check_samples(patch(content, SIZES["AIFF"][0], 0, ">I"), SAMPLES)


@pytest.mark.parametrize("pad", [b"", b"\0"])
@pytest.mark.parametrize("size", [4000, 0])
def test_chunk_of_odd_length_before_the_samples(pad, size):
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx" + pad
    check_samples(patch(WAV, 40, size)[:36] + odd + patch(WAV, 40, size)[36:], SAMPLES)


def test_samples_of_odd_length():
    samples = SAMPLES[:1999].round(2)
    content = encode(samples, format="WAV", subtype="PCM_U8")
    for tail in [b"", GUANO]:
        for size in [1999, 0]:
            assert decode(patch(content + tail, 40, size)).shape[1] in (1999, 2000)
    assert decode(content + GUANO).shape == (1, 1999)


@pytest.mark.parametrize("tail", [bytes(1000), b"TAG" + bytes(range(125)), b"ID3" + b"\4" * 40])
def test_padding_and_tags_at_the_end_are_no_sound(tail):
    check_samples(WAV + tail, SAMPLES)


def test_tag_before_the_file():
    tag = b"ID3\4\0\0\0\0\0\12" + bytes(10)
    check_samples(tag + WAV, SAMPLES)
    check_samples(tag + patch(WAV, 40, 0), SAMPLES)


def test_silence_at_the_beginning_is_sound():
    samples = np.r_[np.zeros(40_000), SAMPLES]
    content = encode(samples, format="WAV")
    check_samples(patch(content, 40, 0), samples)


def test_samples_are_counted_on_when_one_size_is_kept_up_to_date():
    check_samples(patch(WAV, 40, 1000), SAMPLES)


def test_bytes_that_are_not_read_are_told():
    content = patch(patch(WAV, 40, 1000), 4, 1036)
    with pytest.warns(UserWarning, match=r"<bytes>: 3000 bytes follow .* not read"):
        assert decode(content).shape == (1, 500)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("n_lost", [2, 100, 2000])
def test_file_that_is_cut_off(kind, n_lost):
    content = CONTENT[kind][:-n_lost]
    with pytest.raises(ValueError, match=f"<bytes>: the header promises {n_lost} bytes more|read"):
        decode(content)
    if kind != "CAF":  # libsndfile does not open it
        np.testing.assert_array_equal(decode(content, 0, 100)[0], SAMPLES[:100])


def test_file_without_samples_is_not_taken_for_one_of_unknown_length():
    content = encode(SAMPLES[:0], format="WAV") + GUANO
    with pytest.raises(ValueError, match="has no samples"):
        decode(content)


@pytest.mark.parametrize("kind", SIZES)
def test_joined_files_are_read_one_after_another(kind):
    content = CONTENT[kind]
    check_samples(2 * content, np.tile(SAMPLES, 2))
    at, layout, _ = SIZES[kind]
    check_samples(content + patch(content, at, 0, layout), np.tile(SAMPLES, 2))


def test_many_joined_files():
    short = encode(SAMPLES[:10], format="WAV")
    check_samples(600 * short, np.tile(SAMPLES[:10], 600))


def test_joined_file_that_is_cut_off():
    with pytest.raises(ValueError, match="promises 50 bytes more"):
        decode(WAV + WAV[:-50])
    with pytest.warns(UserWarning, match=r"3994 bytes follow .* not read"):
        decode(WAV[:-50] + WAV)


@pytest.mark.parametrize(("rate", "n_channels"), [(2 * RATE, 1), (RATE, 2)])
def test_joined_files_of_different_kinds(rate, n_channels):
    other = encode(np.tile(SAMPLES[:, None], n_channels), rate, format="WAV")
    with pytest.raises(ValueError, match=rf"joins .* one of {n_channels} at {rate} Hz, split"):
        decode(WAV + other)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "ULAW", "FLOAT", "PCM_24"])
def test_samples_of_other_kinds(subtype):
    content = encode(SAMPLES, format="WAV", subtype=subtype)
    expected = decode(content)[0]
    at = content.find(b"data") + 4
    for size in [0, 2**32 - 1]:
        for tail in [b"", GUANO]:
            check_samples(patch(content + tail, at, size), expected)


@pytest.mark.parametrize("n_bytes", [2**32, 2**32 + 4000, 2**33 + 4000])
@pytest.mark.parametrize("tail", [b"", GUANO])
@pytest.mark.parametrize("size", ["modulo", 2**32 - 1])
def test_more_than_the_size_field_can_hold(tmp_path, n_bytes, tail, size):
    path = tmp_path / "long.wav"
    with open(path, "wb") as file:
        file.write(patch(WAV[:44], 40, n_bytes % 2**32 if size == "modulo" else size))
        file.seek(44 + n_bytes - 4000)  # a hole of zeros takes no room on the disk
        file.write(WAV[44:] + tail)
    n_samples = n_bytes // 2
    assert audio_info(Section(str(path))) == (n_samples, RATE)
    section = Section(str(path), n_samples - 2000, None)
    np.testing.assert_array_equal(read_audio(section, RATE)[0], SAMPLES)


@pytest.mark.parametrize("size", [2**32 + 4000, 2**31 + 4000])
def test_long_au_files(tmp_path, size):
    path = tmp_path / "long.au"
    content = CONTENT["AU"]
    n_head = len(content) - 4000
    with open(path, "wb") as file:
        file.write(patch(content[:n_head], 8, size % 2**32, ">I"))
        file.seek(n_head + size - 4000)
        file.write(content[n_head:])
    assert audio_info(Section(str(path))) == (size // 2, RATE)
    section = Section(str(path), size // 2 - 2000, None)
    np.testing.assert_array_equal(read_audio(section, RATE)[0], SAMPLES)


def test_more_than_4_gib_of_aiff_is_told(tmp_path):
    path = tmp_path / "long.aiff"
    content = CONTENT["AIFF"]
    n_head = len(content) - 4000
    with open(path, "wb") as file:
        file.write(patch(content[:n_head], SIZES["AIFF"][0], 4008, ">I"))
        file.seek(n_head + 2**32)
        file.write(content[n_head:])
    with pytest.warns(UserWarning, match="bytes beyond 4 GiB are not read"):
        assert audio_info(Section(str(path))) == (2**31 - 2**15, RATE)


@pytest.mark.parametrize(
    ("kind", "n_lost"), [("AVR", 1000), ("NIST", 1000), ("SVX", 1000), ("VOC", 1000)]
)
def test_rare_format_that_is_cut_off(kind, n_lost):
    content = encode(SAMPLES, format=kind)
    assert audio_info(Section(MemoryFile(content))) == (2000, RATE)
    with pytest.raises(ValueError, match=r"<bytes>: the header promises .* cut off"):
        decode(content[:-n_lost])


def test_rare_format_with_more_than_its_header_counts():
    with pytest.warns(UserWarning, match="header counts 2000 samples, but 4512 are read"):
        decode(2 * encode(SAMPLES, format="NIST"))
