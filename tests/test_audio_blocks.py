import numpy as np
import pytest
import soundfile

from sktagger.audio._blocks import audio_blocks, resample_blocks
from sktagger.audio.reading import Section, read_audio, resample


@pytest.fixture
def noise(rng):
    """Return a function that makes noise of shape (n_samples, n_channels)."""
    return lambda n_samples, n_channels=1: rng.uniform(-0.9, 0.9, (n_samples, n_channels))


@pytest.mark.parametrize("block_samples", [1000, 4096, 10**6])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100, 8000, 11025])
def test_blocks_are_the_file_cut_up(write_audio, noise, rate, n_channels, block_samples):
    path = write_audio("clip.wav", noise(20_011, n_channels), 16000)
    blocks = list(audio_blocks(Section(path), rate, block_samples))
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(np.hstack(blocks), read_audio(Section(path), rate))


@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize(("start", "stop"), [(None, 7000), (5000, None), (3001, 9002)])
def test_blocks_of_a_section(write_audio, noise, rate, start, stop):
    section = Section(write_audio("clip.flac", noise(12_000, 2), 16000), start, stop)
    blocks = list(audio_blocks(section, rate, 2048))
    np.testing.assert_array_equal(np.hstack(blocks), read_audio(section, rate))


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_blocks_of_lossy_files(write_audio, noise, suffix):
    section = Section(write_audio(f"clip.{suffix}", noise(30_000), 16000))
    blocks = list(audio_blocks(section, 8000, 5000))
    np.testing.assert_allclose(np.hstack(blocks), read_audio(section, 8000), rtol=0, atol=1e-5)


def test_one_block_is_decoded_at_a_time(write_audio, noise):
    path = write_audio("clip.wav", noise(10_000), 16000)
    assert [b.shape for b in audio_blocks(Section(path), 16000, 4000)] == [
        (1, 4000), (1, 4000), (1, 2000),
    ]  # fmt: skip


def test_resampled_blocks_are_the_resampled_whole(noise):
    waveform = noise(9_999, 3).astype(np.float32).T
    blocks = np.array_split(waveform, 7, axis=1)
    resampled = np.hstack(list(resample_blocks(blocks, 9_999, 44100, 16000)))
    np.testing.assert_array_equal(resampled, resample(waveform, 44100, 16000))


def test_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.wav' does not exist"):
        next(audio_blocks(Section("nowhere.wav"), 16000))


def test_section_beyond_the_end_is_an_error(write_audio, noise):
    path = write_audio("clip.wav", noise(1000), 16000)
    with pytest.raises(ValueError, match=r"the section is not inside the file, which has 1000"):
        next(audio_blocks(Section(path, 0, 1001), 16000))


def test_sample_that_is_not_finite_is_counted_from_the_beginning(write_audio, noise):
    samples = noise(10_000, 2)
    samples[7654, 1] = np.nan
    path = write_audio("clip.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"clip.wav': sample 7654 is NaN or infinite"):
        list(audio_blocks(Section(path), 8000, 1000))


def test_file_that_ends_early_is_an_error(write_audio, noise, monkeypatch):
    path = write_audio("clip.wav", noise(8000), 16000)
    monkeypatch.setattr("sktagger.audio._blocks.audio_info", lambda section: (20_000, 16000))
    with pytest.raises(ValueError, match=r"promises 20000 samples, but the data ends after 8000"):
        list(audio_blocks(Section(path), 16000, 1000))


def test_file_is_closed_when_no_block_is_wanted_any_more(write_audio, noise, monkeypatch):
    opened = []
    init = soundfile.SoundFile.__init__

    def noted(self, *args, **kwargs):
        opened.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", noted)
    blocks = audio_blocks(Section(write_audio("clip.wav", noise(8000), 16000)), 8000, 1000)
    next(blocks)
    blocks.close()
    assert opened
    assert all(file.closed for file in opened)
