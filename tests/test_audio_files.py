import io
import pickle

import numpy as np
import pytest
import soundfile

from sktagger.audio.clips import FileClips
from sktagger.audio.reading import MemoryFile, Section, audio_info, read_audio

RATE = 8000


def encoded(samples, **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, **kwargs)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_file_in_memory_is_read_as_from_a_disk(tmp_path, rng, kind):
    content = encoded(rng.uniform(-0.5, 0.5, (5000, 2)), format=kind)
    (tmp_path / "a").write_bytes(content)
    for bounds in [(None, None), (100, 350)]:
        on_disk = Section(str(tmp_path / "a"), *bounds)
        in_memory = Section(MemoryFile(content), *bounds)
        assert audio_info(in_memory) == audio_info(on_disk)
        np.testing.assert_array_equal(read_audio(in_memory, RATE), read_audio(on_disk, RATE))


def test_file_in_memory_is_compared_by_its_content():
    content = encoded(np.zeros(10), format="WAV")
    copy = pickle.loads(pickle.dumps(MemoryFile(content, "a")))
    assert copy == MemoryFile(content, "a")
    assert hash(copy) == hash(MemoryFile(content, "a"))
    assert copy != MemoryFile(content + b"\0", "a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"Audio file <clip 3> is empty \(0 bytes\)"),
        (b"no sound", "Audio file <clip 3> cannot be read as audio .* WAV, FLAC"),
        (encoded(np.zeros(0), format="WAV"), "Audio file <clip 3>: has no samples"),
        (encoded(np.zeros(100), format="WAV")[:90], "Audio file <clip 3>: .*cut off"),
    ],
)
def test_errors_name_the_file_in_memory(content, message):
    with pytest.raises(ValueError, match=message):
        read_audio(Section(MemoryFile(content, "<clip 3>")), RATE)


def test_section_of_a_file_in_memory_is_named():
    section = Section(MemoryFile(encoded(np.zeros(100), format="WAV"), "<clip 3>"), 50, 200)
    with pytest.raises(ValueError, match=r"Audio file <clip 3> \(samples 50 to 200\): .* 100 samp"):
        audio_info(section)


def test_file_in_memory_can_be_cached(tmp_path, rng):
    samples = rng.uniform(-0.5, 0.5, 1000)
    contents = [encoded(samples, format="WAV"), encoded(-samples, format="WAV")]
    clips = FileClips([Section(MemoryFile(content)) for content in contents])
    cached = clips.cached(tmp_path / "cache")
    for _ in range(2):
        for i in range(2):
            np.testing.assert_array_equal(cached.load(i, RATE), clips.load(i, RATE))


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("~/a.wav", "not expanded to the home directory: write out"),
        ("~someone/a.wav", "not expanded"),
        ("/data/~/a.wav", "not expanded"),  # as a database joins it to its folder
        (r"wav\a.wav", "backslash does not separate folders"),
        (r"C:\wav\a.wav", "begins with a Windows drive"),
        ("/data/D:/wav/a.wav", "begins with a Windows drive"),
        ("file:///data/a.wav", "It is a URI: download"),
        ("/data/file:/data/a.wav", "is a URI"),
        ("https://example.org/a.wav", "is a URI"),
        ("s3://bucket/a.wav", "is a URI"),
        ("a.wav\n", "ends with white space or a line break: remove it"),
        (" a.wav", "begins or ends with white space"),
        ('"a.wav"', "quotation marks are part of the path"),
        ("a.wav", "Relative paths in a database"),
        ("", "Relative paths in a database"),
    ],
)
def test_missing_file_with_a_hint(tmp_path, monkeypatch, path, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=hint) as caught:
        audio_info(Section(path))
    assert f"Audio file {path!r} does not exist" in str(caught.value)


@pytest.mark.parametrize("name", ["~a.wav", r"a\b.wav", " a.wav ", "'a.wav'"])
def test_file_that_is_there_is_read_whatever_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    soundfile.write(name, np.zeros(100), RATE, format="WAV")
    assert audio_info(Section(name)) == (100, RATE)
