import pickle
import tracemalloc

import librosa
import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter, savgol_filter
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sktagger.audio.reading import Section, read_audio
from sktagger.audio.spectral import STFTSizes
from sktagger.baselines import MFCCStatistics
from sktagger.baselines._cepstra import CepstralSettings, mel_filters, mfcc_statistics
from sktagger.metrics import map_scorer, scorers

RATE = 8000
SMALL = {"sample_rate": RATE, "n_fft": 256, "hop_length": 64, "n_mels": 24, "n_mfcc": 5}
IN_LIBROSA = {{"sample_rate": "sr"}.get(name, name): value for name, value in SMALL.items()}
ALL_STATISTICS = ("mean", "std", "min", "median", "max")


@pytest.fixture
def noise(rng):
    """Return a function that makes colored noise with random levels."""

    def make(n_samples=RATE):
        levels = np.exp(rng.normal(size=1 + n_samples // 1000)).repeat(1000)[:n_samples]
        colored = lfilter([0.05], [1, -0.9], rng.normal(size=n_samples))
        return (levels * colored).astype(np.float32)

    return make


def features(X, **params):
    return MFCCStatistics(**{**SMALL, **params}).transform(X)


def by_librosa(waveform, statistics=ALL_STATISTICS, deltas=1, **settings):
    """Compute the features of a waveform of at least 9 frames with librosa only."""
    mfcc = librosa.feature.mfcc(y=waveform, **settings)
    series = [mfcc, *(librosa.feature.delta(mfcc, order=k + 1) for k in range(deltas))]
    return np.concatenate([getattr(np, name)(x, axis=1) for name in statistics for x in series])


def assert_close(actual, expected):
    # MFCCs are sums of dB, up to some hundreds
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)


# values


# more than 1024 frames are computed in several blocks
@pytest.mark.parametrize("n_samples", [513, 8000, 64 * 1024, 200_001])
def test_features_are_those_of_librosa(noise, n_samples):
    waveform = noise(n_samples)
    assert_close(features([waveform])[0], by_librosa(waveform, **IN_LIBROSA))


@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("statistics", [ALL_STATISTICS, ["max", "mean"]])
def test_statistics_and_derivatives(noise, deltas, statistics):
    waveform = noise()
    result = features([waveform], deltas=deltas, statistics=statistics)
    assert result.shape == (1, 5 * (1 + deltas) * len(statistics))
    assert_close(result[0], by_librosa(waveform, statistics, deltas, **IN_LIBROSA))


@pytest.mark.parametrize("n_fft", [200, 201])
@pytest.mark.parametrize("hop_length", [50, 77, 200])
def test_sizes(noise, n_fft, hop_length):
    sizes = {"n_fft": n_fft, "hop_length": hop_length}
    waveform = noise()
    assert_close(features([waveform], **sizes)[0], by_librosa(waveform, **IN_LIBROSA | sizes))


def test_defaults_are_those_of_librosa(noise):
    waveform = noise(22050)
    result = MFCCStatistics().fit_transform([waveform])
    assert result.shape == (1, 200)
    assert result.dtype == np.float32
    assert_close(result[0], by_librosa(waveform, sr=22050))


def test_lowest_level_depends_on_the_maximum_of_the_whole_clip(noise):
    """The maximum is in the second block of frames, the lowest levels are in the first one."""
    waveform = np.concatenate([1e-6 * noise(64 * 1024), noise(64 * 1024)])
    assert_close(features([waveform])[0], by_librosa(waveform, **IN_LIBROSA))


def test_how_a_waveform_comes_in_blocks_changes_nothing(noise, rng):
    waveform = noise(150_000)
    sizes = STFTSizes(256, 64, 256, "hann")
    settings = CepstralSettings(sizes, mel_filters(RATE, 256, 24), 5, 1, ("mean", "std"))
    expected = mfcc_statistics([waveform], settings)
    for _ in range(3):
        cuts = np.sort(rng.integers(0, len(waveform), 20))
        actual = mfcc_statistics(np.split(waveform, cuts), settings)
        np.testing.assert_array_equal(actual, expected)


def test_memory_does_not_grow_with_the_waveform():
    """20 minutes at 22.05 kHz are 106 MB; 4 mel bands of them are 0.8 MB."""
    sizes = STFTSizes(2048, 512, 2048, "hann")
    settings = CepstralSettings(sizes, mel_filters(22050, 2048, 4), 4, 1, ("mean",))
    second = np.random.default_rng(0).normal(size=22050).astype(np.float32)
    mfcc_statistics([second], settings)
    tracemalloc.start()
    mfcc_statistics((second for _ in range(1200)), settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6


# short, silent and wrong clips


@pytest.mark.parametrize("deltas", [0, 1, 2])
@pytest.mark.parametrize("n_samples", [1, 2, 63, 64, 200, 256, 511, 512])
def test_short_clips_have_finite_features(noise, n_samples, deltas):
    assert np.isfinite(features([noise(n_samples)], deltas=deltas)).all()


def test_derivatives_of_a_single_frame_are_zero(noise):
    result = features([noise(63)], deltas=2, statistics=["min", "max"])[0].reshape(2, 3, 5)
    np.testing.assert_allclose(result[:, 1:], 0, atol=1e-4)
    assert np.all(abs(result[:, 0]) > 0.1)


@pytest.mark.parametrize("n_samples", [64, 200, 511])
@pytest.mark.parametrize("order", [1, 2])
def test_short_clips_are_extended_for_derivatives(noise, n_samples, order):
    waveform = noise(n_samples)
    mfcc = librosa.feature.mfcc(y=np.pad(waveform, 128), **IN_LIBROSA, center=False)
    assert mfcc.shape[1] < 9
    extended = np.pad(mfcc, ((0, 0), (4, 4)), mode="edge")
    delta = savgol_filter(extended, 9, polyorder=order, deriv=order, axis=1)[:, 4:-4]
    result = features([waveform], deltas=order, statistics=["min"])[0].reshape(-1, 5)
    assert_close(result[order], delta.min(axis=1))


def test_silence_has_finite_features():
    result = features([np.zeros(RATE)], statistics=["mean", "std"])[0].reshape(2, 2, 5)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result[1], 0, atol=1e-4)  # standard deviations


def test_samples_that_are_too_large_are_an_error(noise):
    X = [noise(), 1e30 * noise()]
    with pytest.raises(ValueError, match=r"Clip 1: its samples are so large .* scale them"):
        features(X)
    with pytest.warns(UserWarning, match="1 of 2 clips of X cannot be read"):
        result = features(X, on_error="skip")
    assert np.isnan(result).all(axis=1).tolist() == [False, True]


def test_channels_that_cancel_are_warned_about(noise):
    waveform = noise()
    with pytest.warns(UserWarning, match="Clip 1: its channels cancel each other"):
        features([waveform, np.stack([waveform, -waveform])])


def test_channels_that_cancel_except_for_their_offset_are_warned_about(noise):
    waveform = noise() - noise().mean()
    with pytest.warns(UserWarning, match="channels cancel"):
        features([np.stack([waveform, -waveform]) + np.float32(0.5)])


def test_section_in_seconds_is_warned_about(write_audio, noise):
    path = write_audio("a.wav", noise(), RATE)
    with pytest.warns(UserWarning, match="multiply seconds by this rate"):
        features([(path, 0, 1)])


# containers of clips


def test_files_sections_and_waveforms_have_the_same_features(write_audio, noise):
    waveforms = [noise(), noise(5000)]
    paths = [write_audio(f"{k}.wav", w, RATE, subtype="FLOAT") for k, w in enumerate(waveforms)]
    expected = features(waveforms)
    both = np.concatenate(waveforms)
    whole = write_audio("both.wav", both, RATE, subtype="FLOAT")
    containers = {
        "paths": paths,
        "table": pd.DataFrame({"path": paths}),
        "sections": [(whole, 0, RATE), (whole, RATE, None)],
        "pairs": [(waveform, RATE) for waveform in waveforms],
        "stereo": [np.stack([waveform, waveform]) for waveform in waveforms],
        "dicts": [{"array": waveform, "sampling_rate": RATE} for waveform in waveforms],
    }
    for name, X in containers.items():
        np.testing.assert_array_equal(features(X), expected, err_msg=name)
    with open(paths[0], "rb") as file, open(paths[1], "rb") as other:
        np.testing.assert_array_equal(features([file, other]), expected)
    matrix = np.stack([waveforms[0], waveforms[0]])
    np.testing.assert_array_equal(features(matrix), expected[[0, 0]])


def test_files_are_resampled(write_audio, noise):
    path = write_audio("a.wav", noise(16000), 16000)
    waveform = read_audio(Section(path), RATE)[0]
    np.testing.assert_array_equal(features([path]), features([waveform]))


def test_iterators_are_read_once(noise):
    waveforms = [noise(), noise()]
    transformer = MFCCStatistics(**SMALL)
    result = transformer.fit_transform(waveform for waveform in waveforms)
    np.testing.assert_array_equal(result, transformer.transform(waveforms))


def test_waveforms_of_a_matrix_have_the_length_of_those_of_fit(noise):
    X = np.stack([noise(), noise()])
    transformer = MFCCStatistics(**SMALL).fit(X)
    assert transformer.n_features_in_ == RATE
    with pytest.raises(ValueError, match="expecting 8000 features"):
        transformer.transform(X[:, :-1])


# clips that cannot be read


@pytest.fixture
def mixed(write_audio, noise, tmp_path):
    """Two good files, and between them one that is missing, one that is no audio, and a gap."""
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    good = [write_audio(f"{k}.wav", noise(), RATE) for k in range(2)]
    return [good[0], str(tmp_path / "missing.wav"), str(text), None, good[1]]


def test_unreadable_clip_is_an_error(mixed):
    with pytest.raises(FileNotFoundError, match=r"missing\.wav"):
        features(mixed[:2])
    with pytest.raises(ValueError, match=r"text\.wav"):
        features(mixed[2:3])
    for function in (features, MFCCStatistics().fit):
        with pytest.raises(TypeError, match="X: clip 3 is None"):
            function(mixed)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_rows_of_unreadable_clips_are_nan(mixed, n_jobs):
    with pytest.warns(UserWarning, match="3 of 5 clips of X cannot be read and have features") as w:
        result = features(mixed, on_error="skip", n_jobs=n_jobs)
    assert len(w) == 1
    assert np.isnan(result).all(axis=1).tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(result[[0, 4]], features([mixed[0], mixed[4]]))


def test_each_unreadable_clip_is_warned_about(mixed):
    with pytest.warns(UserWarning, match="Left out") as warned:
        features(mixed, on_error="warn")
    assert len(warned) == 3


# threads, cache, progress, imports


def test_threads_change_nothing(noise):
    X = [noise(n) for n in (100, 9000, 300, 20_000, 70_000, 256)]
    np.testing.assert_array_equal(features(X, n_jobs=3), features(X))


def test_cache(write_audio, noise, tmp_path, monkeypatch):
    path = write_audio("a.wav", noise(12_000), 12_000)
    expected = features([path])
    memory = tmp_path / "cache"
    np.testing.assert_array_equal(features([path], memory=memory), expected)

    def no_reading(*args):
        raise AssertionError("the file is decoded again")

    with monkeypatch.context() as patch:
        patch.setattr("sktagger.audio.clips.read_audio", no_reading)
        np.testing.assert_array_equal(features([path], memory=memory), expected)
    write_audio("a.wav", noise(12_000), 12_000)
    assert np.all(features([path], memory=memory) != expected)


def test_progress_is_shown(noise, monkeypatch, capsys):
    monkeypatch.setattr("sktagger._utils.progress.INTERVAL", 0.0)
    X = [noise(), noise()]
    features(X, verbose=0)
    assert capsys.readouterr().err == ""
    features(X)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "Computing MFCCs: 1 of 2 clips",
        "Computing MFCCs: 2 of 2 clips",
    ]


def test_librosa_is_imported_where_it_is_used(run_python):
    code = (
        "import sys\n"
        "from sktagger.baselines import MFCCStatistics\n"
        "print('librosa' in sys.modules)\n"
        "MFCCStatistics().fit_transform([[0.0] * 100])\n"
        "print('librosa' in sys.modules, 'torch' in sys.modules)"
    )
    assert run_python(code).splitlines() == ["False", "True False"]


# parameters, and scikit-learn


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_mfcc": 0}, "'n_mfcc' parameter of MFCCStatistics"),
        ({"deltas": 3}, "'deltas' parameter of MFCCStatistics"),
        ({"statistics": "mean"}, "'statistics' parameter of MFCCStatistics"),
        ({"on_error": "ignore"}, "'on_error' parameter of MFCCStatistics"),
        ({"statistics": ["mean", "mode"]}, r"statistics=\['mean', 'mode'\], .*replace \['mode'\]"),
        ({"statistics": ()}, r"statistics=\(\), but .* Give \('mean', 'std'\)"),
        ({"n_mfcc": 25}, "n_mfcc=25, but it must be at most n_mels=24. Set a lower n_mfcc or"),
        ({"hop_length": 257}, "hop_length=257, but it must be at most n_fft=256"),
    ],
)
def test_wrong_parameters(noise, params, message):
    transformer = MFCCStatistics(**{**SMALL, **params})
    for method in (transformer.fit, transformer.transform, transformer.fit_transform):
        with pytest.raises(ValueError, match=message):
            method([noise()])


def test_names_of_features(noise):
    params = {"n_mfcc": 2, "deltas": 2, "statistics": ("mean", "max")}
    transformer = MFCCStatistics(**{**SMALL, **params}).set_output(transform="pandas")
    expected = [
        f"mfcc{number}{kind}_{statistic}"
        for statistic in ("mean", "max")
        for kind in ("", "_delta", "_delta2")
        for number in (0, 1)
    ]
    assert transformer.get_feature_names_out().tolist() == expected
    clips = pd.DataFrame({"x": [noise(), noise()]}, index=["a", "b"])
    for table in (transformer.fit_transform(clips), transformer.transform(clips)):
        assert table.columns.tolist() == expected
        assert table.index.tolist() == ["a", "b"]
        assert (table.dtypes == np.float32).all()


def test_clones_and_pickles(noise):
    transformer = MFCCStatistics(**SMALL, statistics=("mean", "max"), memory="cache")
    for copy in (clone(transformer), pickle.loads(pickle.dumps(transformer))):
        assert copy.get_params() == transformer.get_params()
    X = np.stack([noise(), noise()])
    fitted = MFCCStatistics(**SMALL).fit(X)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.transform(X), fitted.transform(X))


@pytest.fixture(scope="module")
def clips(scenes):
    """Paths and events of short scenes."""
    X, Y = scenes.to_xy("balanced_train")
    return list(X), Y


def forest():
    return make_pipeline(
        MFCCStatistics(**SMALL), StandardScaler(), RandomForestClassifier(20, random_state=0)
    )


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_cross_validation_with_several_events(clips):
    X, Y = clips
    results = cross_validate(forest(), X, Y, scoring=scorers, cv=2, error_score="raise")
    for name in scorers:
        assert np.isfinite(results[f"test_{name}"]).all()
    forest().fit(X, Y)
    table = features(X)
    expected = cross_validate(forest()[1:], table, Y, scoring=scorers, cv=2)
    for name in scorers:
        np.testing.assert_array_equal(results[f"test_{name}"], expected[f"test_{name}"])


def test_labels(noise, rng):
    """Noise and sines are told apart, in a search over the settings of the features."""
    time = np.arange(4000) / RATE
    sines = [0.1 * np.sin(2 * np.pi * f * time) for f in rng.uniform(200, 2000, 8)]
    X, y = [*sines, *(0.1 * rng.normal(size=(8, 4000)))], ["sine"] * 8 + ["noise"] * 8
    assert cross_val_score(forest(), X, y, cv=2).min() == 1
    assert cross_val_score(forest(), X, y, cv=2, scoring=map_scorer).min() == 1
    grid = {"mfccstatistics__n_mfcc": [2, 10], "mfccstatistics__deltas": [0]}
    search = GridSearchCV(forest(), grid, cv=2, error_score="raise").fit(X, y)
    assert search.predict(X).tolist() == y


def test_unreadable_clips_in_cross_validation(clips, tmp_path):
    """Forests learn from rows of NaN."""
    X, Y = clips
    X = [str(tmp_path / "missing.wav"), *X[1:]]
    pipeline = forest().set_params(mfccstatistics__on_error="skip")
    with pytest.warns(UserWarning, match=r"1 of 12 clips of X cannot be read"):
        pipeline.fit(X, Y)
    with pytest.warns(UserWarning, match="have features of NaN"):
        assert np.isfinite(np.stack(pipeline.predict_proba(X)[0])).all()


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([MFCCStatistics()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_checks_are_not_skipped_because_of_a_tag():
    tags = MFCCStatistics().__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert not tags.no_validation
