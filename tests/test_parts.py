import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from _encoded import RATE, check_samples, encode

from sktagger.audio._blocks import audio_blocks
from sktagger.audio._parts import JoinedFile, Part, View
from sktagger.audio.reading import MemoryFile, Section

BYTES = bytes(range(100))


@pytest.fixture
def joined():
    """Three recordings of 100 samples, one after another, in stereo."""
    samples = np.round(np.random.default_rng(0).uniform(-1, 1, (300, 2)), 2).astype(np.float32)
    contents = [
        encode(part, format="WAV", subtype="FLOAT") for part in (samples[:100], samples[100:200])
    ]
    contents.append(encode(samples[200:], format="W64", subtype="FLOAT"))
    bounds = np.cumsum([0, *map(len, contents)])
    parts = [Part(b"", start, stop) for start, stop in pairwise(bounds)]
    with JoinedFile(MemoryFile(b"".join(contents)), parts) as file:
        yield file, samples


def test_view_has_the_bytes_of_its_part():
    expected = b"abc" + BYTES[20:50] + bytes(7)
    view = View(io.BytesIO(BYTES), Part(b"abc", 20, 50, n_zeros=7))
    assert view.seek(0, io.SEEK_END) == len(expected)
    for position in range(len(expected) + 2):
        for n_bytes in [1, 2, 30, 100]:
            view.seek(position)
            assert view.read(n_bytes) == expected[position : position + n_bytes]
            assert view.tell() == min(position + n_bytes, max(position, len(expected)))


def test_view_of_a_view():
    view = View(View(io.BytesIO(BYTES), Part(b"", 10, 90)), Part(b"x", 5, 8).shifted(2))
    assert view.read() == b"x" + BYTES[17:20]


def test_closing_a_view_leaves_its_file_open():
    file = io.BytesIO(BYTES)
    View(file, Part(b"", 0, 10)).close()
    assert not file.closed


def test_joined_file_knows_its_size(joined):
    file, samples = joined
    assert (file.frames, file.samplerate, file.channels) == (len(samples), RATE, 2)


def test_joined_file_is_read_across_its_parts(joined):
    file, samples = joined
    for start in [0, 50, 99, 100, 150, 250]:
        for n_samples in [0, 1, 50, 120, 300]:
            file.seek(start)
            found = file.read(n_samples, "float32", always_2d=True)
            np.testing.assert_array_equal(found, samples[start : start + n_samples])
            assert file.tell() == min(len(samples), start + n_samples)


def test_joined_file_is_read_on(joined):
    file, samples = joined
    blocks = [file.read(70, "float32") for _ in range(5)]
    assert [len(block) for block in blocks] == [70, 70, 70, 70, 20]
    np.testing.assert_array_equal(np.concatenate(blocks), samples)
    file.seek(250)
    np.testing.assert_array_equal(file.read(dtype="float32"), samples[250:])


def test_joined_file_with_one_channel_gives_one_axis():
    content = encode(np.zeros(10), format="WAV")
    with JoinedFile(MemoryFile(content), [Part(b"", 0, len(content))]) as file:
        assert file.read(4).shape == (4,)
        assert file.read(4, always_2d=True).shape == (4, 1)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "GSM610"),
        ("W64", "GSM610"),
        ("AIFF", "GSM610"),
        ("WAV", "G721_32"),
        ("AU", "G721_32"),
        ("AU", "G723_24"),
        ("XI", "DPCM_16"),
    ],
)
def test_codecs_that_cannot_seek_are_read_from_any_sample_on(rng, kind, subtype):
    content = encode(rng.uniform(-0.5, 0.5, 3000), format=kind, subtype=subtype)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert not file.seekable()
        expected = file.read(file.frames, dtype="float32")
        rate = file.samplerate
    check_samples(content, expected, rate=rate)
    blocks = audio_blocks(Section(MemoryFile(content), 100, 2500), rate, block_samples=700)
    np.testing.assert_array_equal(np.concatenate(list(blocks), axis=1)[0], expected[100:2500])


def test_joined_files_whose_codec_cannot_seek():
    content = encode(np.sin(np.arange(3200) / 5) / 2, format="WAV", subtype="GSM610")
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        expected = file.read(file.frames, dtype="float32")
    check_samples(content * 2, np.tile(expected, 2))
