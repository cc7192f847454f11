import _reference as reference
import numpy as np
import pytest
import soundfile

from sktagger.audio.reading import (
    Section,
    audio_info,
    channels_cancel,
    read_audio,
    resample,
    resampled_length,
    to_mono,
)

LOSSLESS = {
    "WAV": ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
    "WAVEX": ["PCM_16", "FLOAT"],
    "FLAC": ["PCM_16", "PCM_24"],
    "AIFF": ["PCM_16", "PCM_24", "FLOAT"],
    "AU": ["PCM_16", "FLOAT"],
    "CAF": ["PCM_16", "FLOAT"],
    "RF64": ["PCM_16"],
    "W64": ["PCM_16"],
    "NIST": ["PCM_16"],
    "VOC": ["PCM_16"],
    "MAT5": ["FLOAT"],
    "PAF": ["PCM_16"],
    "SDS": ["PCM_16"],
}
LOSSY = {"OGG": ["VORBIS", "OPUS"], "MP3": ["MPEG_LAYER_III"]}


def available(formats):
    return [
        (name, subtype)
        for name, subtypes in formats.items()
        for subtype in subtypes
        if soundfile.check_format(name, subtype)
    ]


def amplitude(waveform, frequency, sample_rate):
    """Amplitude of a sine in the middle of a waveform."""
    waveform = waveform[len(waveform) // 4 : -len(waveform) // 4]
    phase = 2j * np.pi * frequency * np.arange(len(waveform)) / sample_rate
    return 2 * abs(np.mean(waveform * np.exp(-phase)))


def test_wav_flac_ogg_and_mp3_are_available():
    assert {"WAV", "FLAC", "OGG", "MP3"} <= set(soundfile.available_formats())


@pytest.mark.parametrize(("name", "subtype"), available(LOSSLESS))
def test_lossless_formats_give_the_samples(write_audio, sine, name, subtype):
    samples = sine(0.2)
    path = write_audio(f"clip.{name.lower()}", samples, format=name, subtype=subtype)
    waveform = read_audio(Section(path), 16000)
    assert waveform.dtype == np.float32
    assert waveform.shape == (1, 3200)
    np.testing.assert_allclose(waveform[0], samples, rtol=0, atol=2**-15 + 1e-7)


@pytest.mark.parametrize(("name", "subtype"), available(LOSSY))
def test_lossy_formats_give_the_sound(write_audio, sine, name, subtype):
    path = write_audio(f"clip.{name.lower()}", sine(), format=name, subtype=subtype)
    waveform = read_audio(Section(path), 16000)
    assert waveform.dtype == np.float32
    assert amplitude(waveform[0], 440, 16000) == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize(("name", "subtype"), available(LOSSY))
@pytest.mark.parametrize("n_samples", [1152, 5000, 12345])
def test_lossy_files_have_the_length_of_their_header(write_audio, sine, name, subtype, n_samples):
    path = write_audio(f"clip.{name.lower()}", sine()[:n_samples], format=name, subtype=subtype)
    promised, sample_rate = audio_info(Section(path))
    assert sample_rate == 16000
    assert abs(promised - n_samples) <= 1152
    assert read_audio(Section(path), 16000).shape == (1, promised)


@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_channels_come_first(write_audio, n_channels):
    levels = np.arange(n_channels) / 16
    path = write_audio("clip.wav", np.tile(levels, (100, 1)))
    waveform = read_audio(Section(path), 16000)
    assert waveform.shape == (n_channels, 100)
    np.testing.assert_array_equal(waveform, np.tile(levels[:, None], 100).astype(np.float32))


def test_info_is_that_of_the_file(write_audio, sine):
    path = write_audio("clip.wav", sine(1.0, 8000), 8000)
    assert audio_info(Section(path)) == (8000, 8000)
    assert audio_info(Section(path, 100, 350)) == (250, 8000)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (10, 20), (None, 30), (90, None), (99, 100), (0, 100)]
)
def test_section_gives_its_samples_only(write_audio, rng, start, stop):
    samples = rng.uniform(-1, 1, 100).astype(np.float32)
    path = write_audio("clip.wav", samples, subtype="FLOAT")
    waveform = read_audio(Section(path, start, stop), 16000)
    np.testing.assert_array_equal(waveform[0], samples[start:stop])


def test_section_counts_samples_at_the_rate_of_the_file(write_audio):
    samples = np.concatenate([np.zeros(4000), np.full(4000, 0.5)])
    path = write_audio("clip.wav", samples, 8000)
    waveform = read_audio(Section(path, 4000, 8000), 16000)
    assert waveform.shape == (1, 8000)
    np.testing.assert_allclose(waveform[0, 1000:-1000], 0.5, atol=1e-3)


@pytest.mark.parametrize(
    ("start", "stop"), [(50, 50), (60, 50), (-1, 50), (0, 101), (100, None), (200, 300), (0, 0)]
)
def test_section_outside_the_file(write_audio, start, stop):
    path = write_audio("clip.wav", np.zeros(100))
    with pytest.raises(ValueError, match=r"clip\.wav.*not inside the file, which has 100 samples"):
        read_audio(Section(path, start, stop), 16000)


def test_section_is_named_with_its_bounds():
    assert str(Section("a.wav")) == "'a.wav'"
    assert str(Section("a.wav", 5)) == "'a.wav' (samples 5 to the end)"
    assert str(Section("a.wav", None, 9)) == "'a.wav' (samples 0 to 9)"
    assert str(Section("a.wav", 0, 0)) == "'a.wav' (samples 0 to 0)"


RATES = [(8000, 44100), (22050, 44100), (48000, 44100), (96000, 44100), (44100, 16000)]


@pytest.mark.parametrize(("orig_sr", "target_sr"), RATES)
@pytest.mark.parametrize("n_samples", [1, 2, 7, 999, 4000])
def test_resampling_rounds_the_length_up(rng, orig_sr, target_sr, n_samples):
    waveform = rng.uniform(-1, 1, (2, n_samples)).astype(np.float32)
    resampled = resample(waveform, orig_sr, target_sr)
    n_resampled = -(-n_samples * target_sr // orig_sr)
    assert resampled.shape == (2, n_resampled)
    assert resampled.dtype == np.float32
    assert resampled_length(n_samples, orig_sr, target_sr) == n_resampled


@pytest.mark.parametrize(("orig_sr", "target_sr"), RATES)
def test_resampling_keeps_frequency_and_amplitude(sine, orig_sr, target_sr):
    waveform = resample(sine(1.0, orig_sr, 1000.0)[None], orig_sr, target_sr)[0]
    assert amplitude(waveform, 1000, target_sr) == pytest.approx(0.5, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(waveform))
    assert np.argmax(spectrum) * target_sr / len(waveform) == pytest.approx(1000, abs=1)


def test_resampling_leaves_nothing_above_the_new_limit(sine):
    waveform = resample(sine(1.0, 44100, 12000.0)[None], 44100, 16000)[0]
    assert np.abs(waveform[1000:-1000]).max() < 1e-3


def test_resampling_to_the_same_rate_changes_nothing(rng):
    waveform = rng.uniform(-1, 1, (1, 100)).astype(np.float32)
    np.testing.assert_array_equal(resample(waveform, 16000, 16000), waveform)


def test_file_of_another_rate_is_resampled(write_audio, sine):
    path = write_audio("clip.wav", sine(1.0, 8000), 8000)
    waveform = read_audio(Section(path), 44100)
    assert waveform.shape == (1, 44100)
    assert amplitude(waveform[0], 440, 44100) == pytest.approx(0.5, rel=1e-3)


def test_file_of_one_sample(write_audio):
    path = write_audio("clip.wav", np.array([0.5]))
    np.testing.assert_array_equal(read_audio(Section(path), 16000), [[0.5]])


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav' does not exist"):
        read_audio(Section(str(tmp_path / "gone.wav")), 16000)


def test_empty_file(tmp_path):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(ValueError, match=r"empty\.wav' is empty \(0 bytes\)"):
        read_audio(Section(str(tmp_path / "empty.wav")), 16000)


def test_text_file(tmp_path):
    (tmp_path / "text.wav").write_text("not audio at all")
    with pytest.raises(ValueError, match=r"text\.wav' cannot be read as audio .* WAV, FLAC"):
        read_audio(Section(str(tmp_path / "text.wav")), 16000)


def test_directory(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory"):
        read_audio(Section(str(tmp_path)), 16000)


def test_file_without_samples(write_audio):
    path = write_audio("none.wav", np.zeros(0))
    with pytest.raises(ValueError, match=r"none\.wav': has no samples"):
        read_audio(Section(path), 16000)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf, np.nan]])
def test_samples_that_are_not_finite(write_audio, bad):
    samples = np.zeros(100)
    samples[7 : 7 + len(bad)] = bad
    path = write_audio("bad.wav", samples, subtype="FLOAT")
    message = rf"bad\.wav': sample 7 is NaN or infinite \({len(bad)} such"
    with pytest.raises(ValueError, match=message):
        read_audio(Section(path), 16000)


@pytest.mark.parametrize("name", ["FLAC", "MP3"])  # other formats count their samples
def test_truncated_file(tmp_path, write_audio, rng, name):
    whole = write_audio("whole", rng.uniform(-1, 1, 48000), format=name)
    with open(whole, "rb") as file:
        data = file.read()
    (tmp_path / "half").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half'"):
        read_audio(Section(str(tmp_path / "half")), 16000)


@pytest.mark.parametrize("n_lost", [1, 300])
def test_data_a_little_short_of_the_header(tmp_path, write_audio, rng, n_lost):
    for kind in ["mp3", "flac", "wav", "aiff"]:
        whole = write_audio(f"whole.{kind}", rng.uniform(-0.5, 0.5, 48000))
        with open(whole, "rb") as file:
            data = file.read()
        short = tmp_path / f"short.{kind}"
        short.write_bytes(data[:-n_lost])
        with pytest.raises(ValueError, match=rf"short\.{kind}'.*(promises|cannot be decoded)"):
            read_audio(Section(str(short)), 16000)


@pytest.mark.parametrize(("name", "subtype"), available(LOSSY))
@pytest.mark.parametrize("rate", [8000, 48000])
def test_sections_of_lossy_files_give_the_samples_of_the_whole(
    write_audio, rng, name, subtype, rate
):
    samples = rng.uniform(-0.5, 0.5, 2 * rate)
    samples[: len(samples) // 2] = 0
    path = write_audio(f"clip.{name.lower()}", samples, rate, format=name, subtype=subtype)
    whole = read_audio(Section(path), rate)
    # Opus predicts from earlier samples; the others are exact
    atol = 1e-3 if subtype == "OPUS" else 1e-6
    for start in [1, 3000, rate - 50, rate + 7000, 2 * rate - 300]:
        section = read_audio(Section(path, start, start + 250), rate)
        np.testing.assert_allclose(section, whole[:, start : start + 250], rtol=0, atol=atol)


@pytest.mark.parametrize("n_channels", [1, 2, 8])
def test_to_mono_is_the_formula(rng, n_channels):
    waveform = rng.normal(3.0, 2.0, (n_channels, 500)).astype(np.float32)
    mono = to_mono(waveform)
    assert mono.shape == (500,)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, reference.to_mono(waveform), atol=1e-5)


def test_to_mono_scales_the_peak_just_below_one(sine):
    assert np.abs(to_mono(sine()[None])).max() == pytest.approx(0.5 / 0.501, abs=1e-4)


def test_to_mono_centres_each_channel_by_itself():
    quiet = np.array([[1.0, -1.0, 0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(to_mono(quiet + 5), to_mono(quiet), atol=1e-6)
    both = np.concatenate([quiet + 5, quiet - 3])
    np.testing.assert_allclose(to_mono(both), to_mono(quiet), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_to_mono_of_silence_is_silence(level):
    np.testing.assert_array_equal(to_mono(np.full((2, 50), level, dtype=np.float32)), np.zeros(50))


def test_to_mono_does_not_change_its_input(rng):
    waveform = rng.normal(size=(2, 50)).astype(np.float32)
    before = waveform.copy()
    to_mono(waveform)
    np.testing.assert_array_equal(waveform, before)


@pytest.mark.parametrize("n_channels", [2, 4])
@pytest.mark.parametrize("level", [0.01, 0.5, 1000.0])
def test_channels_of_opposite_polarity_cancel(sine, n_channels, level):
    waveform = np.stack([level * sine() * (-1) ** i for i in range(n_channels)])
    assert channels_cancel(waveform)
    assert channels_cancel(waveform + 3)  # offsets do not count
    assert channels_cancel(waveform + level * 1e-4 * sine(frequency=200.0))
    assert not channels_cancel(waveform[: n_channels - 1])


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("level", [0.0, 0.1, 1e-4])
def test_channels_that_are_silent_do_not_cancel(rng, n_channels, level):
    sign = np.array([[1], [-1]])[:n_channels]
    assert not channels_cancel(np.full((n_channels, 500), level, dtype=np.float32) * sign)
    noise = rng.uniform(-1e-4, 1e-4, 500).astype(np.float32)
    assert not channels_cancel(np.tile(noise, (n_channels, 1)) * sign)


def test_channels_that_differ_do_not_cancel(sine, rng):
    noise = rng.normal(size=(2, 16000)).astype(np.float32)
    assert not channels_cancel(noise)
    assert not channels_cancel(np.stack([sine(), 0 * sine()]))
    assert not channels_cancel(np.stack([sine(), -0.9 * sine()]))


def test_file_without_header_is_named(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(ValueError, match=r"a\.raw.*no header"):
        read_audio(Section(str(tmp_path / "a.raw")), 16000)


def test_to_mono_does_not_depend_on_how_channels_lie_in_memory(rng):
    """Sums of interleaved channels in float32 would lose digits after some thousand samples."""
    frames = (rng.normal(0, 0.1, (3_000_000, 2)) + 0.8).astype(np.float32)
    mono = to_mono(frames.T)
    assert abs(mono.mean(dtype=np.float64)) < 1e-6
    np.testing.assert_allclose(mono, to_mono(np.ascontiguousarray(frames.T)), rtol=0, atol=1e-6)
