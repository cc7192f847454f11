"""FLAC files of unknown length, Ogg files without an end, and files joined by `cat`."""

import os
import warnings

import numpy as np
import pytest
from _encoded import RATE, check_samples, decode, encode, patch

from sktagger.audio import _contents
from sktagger.audio.reading import MemoryFile, Section, audio_info, read_audio

ID3 = b"ID3\4\0\0\0\0\0\12" + bytes(10)
ID3V1 = b"TAG" + bytes(range(125))
SAMPLES = np.round(np.random.default_rng(0).uniform(-0.5, 0.5, 20_000) * 2**15) / 2**15
FLAC = encode(SAMPLES, format="FLAC")
LONG = np.tile(SAMPLES, 3)
OGG = {subtype: encode(LONG, format="OGG", subtype=subtype) for subtype in ["VORBIS", "OPUS"]}


def without_length(flac):
    """Set the number of samples to 0, which means that it is unknown."""
    content = bytearray(flac)
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


UNKNOWN = without_length(FLAC)


@pytest.mark.parametrize("before", [b"", ID3])
@pytest.mark.parametrize("after", [b"", ID3V1])
def test_flac_of_unknown_length(before, after):
    check_samples(before + UNKNOWN + after, SAMPLES)


def test_flac_of_unknown_length_with_channels():
    samples = np.stack([SAMPLES, SAMPLES[::-1]], axis=1)
    waveform = decode(without_length(encode(samples, format="FLAC", subtype="PCM_24")))
    np.testing.assert_array_equal(waveform, samples.T)


@pytest.mark.parametrize("first", [FLAC, UNKNOWN])
@pytest.mark.parametrize("second", [FLAC, UNKNOWN])
def test_joined_flac_files(first, second):
    check_samples(first + second, np.tile(SAMPLES, 2))


def test_flac_of_unknown_length_that_is_cut_off():
    message = "<bytes>: it is cut off or damaged after 16384 samples, the rest is lost"
    with pytest.warns(UserWarning, match=message):
        waveform = decode(UNKNOWN[:-50])
    np.testing.assert_array_equal(waveform[0], SAMPLES[:16384])


@pytest.mark.parametrize("n_lost", [1, 200, 10_000])
def test_flac_that_is_cut_off(n_lost):
    with pytest.raises(ValueError, match=r"<bytes>: cannot be decoded .*It is cut off or damaged"):
        decode(FLAC[:-n_lost])


def test_flac_of_unknown_length_without_a_whole_frame():
    with pytest.raises(ValueError, match=r"<bytes> cannot be read as audio .*lost sync"):
        decode(UNKNOWN[:2000])


@pytest.mark.parametrize("subtype", OGG)
def test_sections_of_ogg_files(subtype):
    check_samples(OGG[subtype], decode(OGG[subtype])[0])


@pytest.mark.parametrize("subtype", OGG)
@pytest.mark.parametrize("n_files", [2, 3])
def test_joined_ogg_files(subtype, n_files):
    parts = [OGG[subtype], encode(SAMPLES[:9000], format="OGG", subtype=subtype), OGG[subtype]]
    expected = np.concatenate([decode(part)[0] for part in parts[:n_files]])
    check_samples(b"".join(parts[:n_files]), expected)
    check_samples(n_files * OGG[subtype], np.tile(decode(OGG[subtype])[0], n_files))


@pytest.mark.parametrize("subtype", OGG)
@pytest.mark.parametrize("tail", [ID3V1, bytes(1000)])
def test_padding_after_ogg_is_no_sound(subtype, tail):
    assert decode(OGG[subtype] + tail).shape == (1, len(LONG))


def test_what_follows_ogg_is_told():
    with pytest.warns(UserWarning, match="<bytes>: 5000 bytes follow the sound and are not read"):
        assert decode(OGG["VORBIS"] + b"noise" * 1000).shape == (1, len(LONG))


@pytest.mark.parametrize("subtype", OGG)
@pytest.mark.parametrize("part", ["page", "bytes", "half"])
def test_ogg_that_lacks_its_end(subtype, part):
    content = OGG[subtype]
    n_bytes = {"page": content.rfind(b"OggS"), "bytes": -100, "half": len(content) // 2}[part]
    with pytest.warns(UserWarning, match="<bytes>: its last page is missing or cut off"):
        waveform = decode(content[:n_bytes])
    n_samples = waveform.shape[1]
    assert 0 < n_samples < len(LONG)
    expected = decode(content)[0, :n_samples]
    np.testing.assert_allclose(waveform[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("subtype", OGG)
def test_ogg_that_lacks_a_page_inside(subtype):
    content = OGG[subtype]
    last = content.rfind(b"OggS")
    previous = content.rfind(b"OggS", 0, last)
    with pytest.raises(ValueError, match=r"60000 samples, but the data ends after .* damaged"):
        decode(content[:previous] + content[last:])


def test_file_is_looked_into_once_for_each_version(tmp_path, monkeypatch):
    calls = []
    count = _contents._count
    monkeypatch.setattr(_contents, "_count", lambda *args: calls.append(args) or count(*args))
    monkeypatch.setattr(_contents, "_RECENT", 0)
    path = tmp_path / "a.flac"
    for n_files in [1, 2]:
        path.write_bytes(n_files * UNKNOWN)
        os.utime(path, ns=(10**18, 10**18))
        for _ in range(3):
            assert audio_info(Section(str(path))) == (n_files * len(SAMPLES), RATE)
            assert read_audio(Section(str(path)), RATE).shape == (1, n_files * len(SAMPLES))
    assert len(calls) == 3


def test_file_that_changes_within_the_resolution_of_the_clock(tmp_path):
    path = tmp_path / "a.wav"
    content = encode(SAMPLES, format="WAV")
    for size, n_samples in [(40_000, 20_000), (30_000, 15_000), (40_000, 20_000)]:
        path.write_bytes(patch(patch(content, 40, size), 4, size + 36))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* bytes follow")
            assert audio_info(Section(str(path))) == (n_samples, RATE)


def test_files_in_memory_are_not_kept():
    before = _contents._examine_version.cache_info().currsize
    audio_info(Section(MemoryFile(UNKNOWN)))
    assert _contents._examine_version.cache_info().currsize == before
