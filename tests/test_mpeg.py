"""MP3 files whose headers state an estimated length, a wrong one or none."""

import struct

import numpy as np
import pytest
from _encoded import RATE, check_samples, decode, encode, patch

from sktagger.audio._mpeg import parse_frame
from sktagger.audio.reading import MemoryFile, Section, audio_info

ID3 = b"ID3\4\0\0\0\0\0\12" + bytes(10)
ID3V1 = b"TAG" + bytes(range(125))
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 52, 1, 2**31) + bytes(8)
APE = patch(APE, 20, 2**31 + 2**29) + bytes(20) + APE
FRAME = 576  # samples, at 8 kHz


def mp3(samples, mode="VARIABLE", rate=RATE):
    return encode(samples, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)


def frames(content):
    """Split a file: the first frame has no sound, but information on the others."""
    found, position = [], 0
    while position < len(content):
        n_bytes = parse_frame(content[position : position + 4]).n_bytes
        found.append(content[position : position + n_bytes])
        position += n_bytes
    return found


def without_info(content):
    return b"".join(frames(content)[1:])


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, n_samples)


@pytest.fixture(scope="module", params=["CONSTANT", "VARIABLE"])
def whole(request):
    """A file of loud and silent parts."""
    return mp3(np.r_[noise(6000), np.zeros(8000), noise(2000)], request.param)


@pytest.fixture(scope="module")
def other():
    return mp3(noise(5000, seed=1))


@pytest.fixture(scope="module")
def sound(whole):
    return decode(whole)[0]


@pytest.fixture(scope="module")
def all_frames(whole):
    """Samples of all frames but the first: the sound, with silence before and after it."""
    return decode(without_info(whole))[0]


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("quiet", ["beginning", "end"])
@pytest.mark.parametrize("rate", [8000, 22050, 44100])
def test_without_header_all_is_read(mode, quiet, rate):
    parts = [np.zeros(2 * rate), noise(2 * rate)]
    samples = np.concatenate(parts if quiet == "beginning" else parts[::-1])
    content = mp3(samples, mode, rate)
    n_frames = len(frames(content)) - 1
    n_samples = n_frames * (1152 if rate >= 32000 else 576)
    found = decode(without_info(content), rate=rate)
    assert found.shape == (1, n_samples)
    # the same sound as with the header, after the encoder's delay
    expected = decode(content, rate=rate)[0]
    assert len(expected) == len(samples)
    delay = 1105
    np.testing.assert_allclose(found[0, delay : delay + len(samples)], expected, atol=1e-6)
    check_samples(without_info(content), found[0], rate=rate)


def test_stereo_without_header():
    content = mp3(np.stack([noise(9000), noise(9000, 1)], axis=1))
    found = decode(without_info(content))
    assert found.shape == (2, FRAME * (len(frames(content)) - 1))
    np.testing.assert_allclose(found[:, 1105:10105], decode(content), atol=1e-6)


def test_long_file_of_constant_rate_without_header():
    content = mp3(noise(70 * RATE), "CONSTANT")
    n_samples, _ = audio_info(Section(MemoryFile(without_info(content))))
    assert n_samples == FRAME * (len(frames(content)) - 1)
    assert decode(without_info(content)).shape == (1, n_samples)


@pytest.mark.parametrize(
    ("before", "after"), [(ID3, b""), (b"", ID3V1), (ID3, APE + ID3V1), (2 * ID3, APE)]
)
def test_tags_are_no_sound(whole, sound, all_frames, before, after):
    check_samples(before + whole + after, sound)
    check_samples(before + without_info(whole) + after, all_frames)


def test_joined_files(whole, other, sound, all_frames):
    second = decode(other)[0]
    check_samples(whole + other, np.r_[sound, second])
    check_samples(whole + whole, np.r_[sound, sound])
    check_samples(whole + ID3V1 + ID3 + other, np.r_[sound, second])
    check_samples(without_info(whole) + other, np.r_[all_frames, second])


def test_joined_files_without_headers(whole, other):
    content = without_info(whole) + without_info(other)
    assert decode(content).shape == (1, FRAME * (len(frames(whole)) + len(frames(other)) - 2))
    content = whole + without_info(other)
    assert decode(content).shape == (1, FRAME * (len(frames(whole)) + len(frames(other)) - 2))


@pytest.mark.parametrize("n_lost", [1, 300, 1500])
@pytest.mark.parametrize("tail", [b"", ID3V1])
def test_file_that_is_cut_off(whole, sound, n_lost, tail):
    content = whole[:-n_lost] + tail
    with pytest.raises(ValueError, match=r"promises \d+ samples, but the data ends after \d+"):
        audio_info(Section(MemoryFile(content)))
    assert decode(content, 0, 500).shape == (1, 500)


def test_joined_file_that_is_cut_off(whole, other):
    with pytest.raises(ValueError, match=r"promises \d+ samples, but the data ends after \d+"):
        decode(whole[:-300] + other)
    with pytest.raises(ValueError, match=r"promises \d+ samples, but the data ends after \d+"):
        decode(other + whole[:-300])


def test_last_frame_that_is_cut_off_without_header(whole, all_frames):
    content = without_info(whole)[:-1]
    check_samples(content, all_frames[:-FRAME])


def info_at(content):
    return max(content.find(b"Xing"), content.find(b"Info"))


@pytest.mark.parametrize("n_frames", [0, 3, 1000])
def test_header_that_counts_frames_wrongly(whole, all_frames, n_frames):
    check_samples(patch(whole, info_at(whole) + 8, n_frames, ">I"), all_frames)


@pytest.mark.parametrize("n_more", [1, -1])
def test_header_that_is_a_frame_off(whole, all_frames, n_more):
    n_frames = len(frames(whole)) - 1 + n_more
    content = patch(whole, info_at(whole) + 8, n_frames, ">I")
    check_samples(content, all_frames)
    check_samples(patch(content, info_at(whole) + 12, 0, ">I"), all_frames)


def test_header_that_does_not_count(whole, all_frames):
    check_samples(patch(whole, info_at(whole) + 4, 0, ">I"), all_frames)


def test_header_that_counts_no_bytes_or_not_its_own(whole, sound):
    n_bytes = len(whole) - len(frames(whole)[0])
    for value in [0, n_bytes]:
        check_samples(patch(whole, info_at(whole) + 12, value, ">I"), sound)


def test_header_of_another_encoder(whole, all_frames):
    first, *others = frames(whole)
    header = first[:4] + bytes(32) + b"VBRI" + bytes(6)
    header += struct.pack(">II", len(whole), len(others))
    content = header.ljust(len(first), b"\0") + b"".join(others)
    check_samples(content, all_frames)


@pytest.mark.parametrize("gap", [b"radio" * 1000, bytes(5000)])
def test_gap_between_frames_is_told(whole, gap):
    first, *others = frames(whole)
    for begin in [first + b"".join(others[:5]), b"".join(others[:5])]:
        content = begin + gap + b"".join(others[5:])
        with pytest.warns(UserWarning, match="<bytes>: 5000 bytes of it are not MP3 frames"):
            assert decode(content).shape == (1, FRAME * len(others))


def test_damaged_frame_is_told(whole):
    header, *others = frames(whole)
    damaged = b"\0" * len(others[4])
    content = b"".join([header, *others[:4], damaged, *others[5:]])
    with pytest.warns(UserWarning, match="it is damaged, 576 samples are lost"):
        assert decode(content).shape == (1, FRAME * (len(others) - 1))


@pytest.mark.parametrize("n_frames", [2, 3])
def test_few_frames(whole, n_frames):
    content = b"".join(frames(whole)[1 : 1 + n_frames])
    assert decode(content).shape == (1, FRAME * n_frames)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("fffb9064", (417, 1152, (1, 3, 44100, False))),
        ("fffb92c4", (418, 1152, (1, 3, 44100, True))),
        ("fff388c4", (288, 576, (2, 3, 16000, True))),
        ("ffe388c4", (576, 576, (2.5, 3, 8000, True))),
        ("fffd8404", (384, 1152, (1, 2, 48000, False))),
        ("ffff9004", (312, 384, (1, 1, 44100, False))),
        ("fffb0064", None),  # states no bit rate
        ("fffbf064", None),
        ("fffb9c64", None),  # nor a sample rate
        ("fff99064", None),  # no layer, as in AAC
        ("ffeb9064", None),
        ("00fb9064", None),
        ("fffb", None),
    ],
)
def test_frame_headers(header, expected):
    assert parse_frame(bytes.fromhex(header)) == expected
