"""Every container gives the same clips as a plain list."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sktagger import TunedThresholdTagger, WALNetTagger
from sktagger.audio.clip_input import check_clips, reusable
from sktagger.audio.clips import ArrayClips, FileClips
from sktagger.audio.reading import MemoryFile, Section

PATHS = ["a.wav", "b.wav", "c.wav"]
SECTIONS = [("a.wav", 0, 4000), ("b.wav", 100, None), ("c.wav", None, None)]
WAVES = np.random.default_rng(0).uniform(-1, 1, (3, 50)).astype(np.float32)


def check(X, on_error="raise", **kwargs):
    tagger = WALNetTagger(sample_rate=8000, on_error=on_error)
    return check_clips(tagger, X, reset=True, **kwargs)


def sections(X):
    clips = check(X)
    assert isinstance(clips, FileClips)
    return [tuple(section) for section in clips.sections]


def waveforms(X):
    clips = check(X)
    assert isinstance(clips, ArrayClips)
    return [clips.load(index, 8000) for index in range(len(clips))]


def objects(items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


PATH_CONTAINERS = {
    "list": lambda: PATHS,
    "tuple": lambda: tuple(PATHS),
    "generator": lambda: (path for path in PATHS),
    "iterator": lambda: iter(PATHS),
    "map": lambda: map(Path, PATHS),
    "values of a dict": lambda: dict(enumerate(PATHS)).values(),
    "keys of a dict": lambda: dict.fromkeys(PATHS).keys(),
    "array": lambda: np.array(PATHS),
    "array of bytes": lambda: np.array([path.encode() for path in PATHS]),
    "array of objects": lambda: np.array(PATHS, dtype=object),
    "column": lambda: np.array(PATHS)[:, None],
    "column of objects": lambda: np.array(PATHS, dtype=object)[:, None],
    "list of lists": lambda: [[path] for path in PATHS],
    "Series with another index": lambda: pd.Series(PATHS, index=[7, 5, 1]),
    "Series of categories": lambda: pd.Series(PATHS, dtype="category"),
    "Series of string type": lambda: pd.Series(PATHS, dtype="string"),
    "Index": lambda: pd.Index(PATHS),
    "extension array": lambda: pd.array(PATHS, dtype="string"),
    "DataFrame of one column": lambda: pd.DataFrame({"clip": PATHS}, index=[7, 5, 1]),
    "Hugging Face": lambda: [{"path": path, "bytes": None} for path in PATHS],
}


@pytest.mark.parametrize("name", PATH_CONTAINERS)
def test_containers_of_paths(name):
    assert sections(PATH_CONTAINERS[name]()) == [(path, None, None) for path in PATHS]


def frame(**names):
    frame = pd.DataFrame(SECTIONS, columns=["path", "start", "stop"], index=[7, 5, 1])
    return frame.rename(columns=names)


SECTION_CONTAINERS = {
    "list of tuples": lambda: SECTIONS,
    "list of lists": lambda: [list(section) for section in SECTIONS],
    "array of tuples": lambda: objects(SECTIONS),
    "array of objects": lambda: np.array(SECTIONS, dtype=object),
    "Series of tuples": lambda: pd.Series(SECTIONS, index=[7, 5, 1]),
    "MultiIndex": lambda: pd.MultiIndex.from_tuples(SECTIONS),
    "DataFrame": frame,
    "DataFrame with integers and NA": lambda: frame().astype({"start": "Int64", "stop": "Int64"}),
    "DataFrame of another order": lambda: frame(path="audio_path")[["stop", "audio_path", "start"]],
    "DataFrame in capitals": lambda: frame(path="File", start="Start"),
    "DataFrame without names": lambda: pd.DataFrame(SECTIONS),
    "records": lambda: frame().to_dict("records"),
    "record array": lambda: frame().to_records(index=False),
}


@pytest.mark.parametrize("name", SECTION_CONTAINERS)
def test_containers_of_sections(name):
    assert sections(SECTION_CONTAINERS[name]()) == SECTIONS


def test_array_of_sections_of_which_numpy_makes_texts():
    X = np.array([("a.wav", 0, 100), ("b.wav", 5, 200)])
    assert X.dtype.kind == "U"
    assert sections(X) == [("a.wav", 0, 100), ("b.wav", 5, 200)]
    X = np.array([("a.wav", 0, np.nan), ("b.wav", 5, 200.0)])
    assert sections(X) == [("a.wav", 0, None), ("b.wav", 5, 200)]


@pytest.mark.parametrize("name", ["path", "audio_path", "file", "filename", "file_path"])
def test_frames_with_one_bound_or_none(name):
    assert sections(pd.DataFrame({name: PATHS, "start": [0, 5, 9]})) == [
        ("a.wav", 0, None),
        ("b.wav", 5, None),
        ("c.wav", 9, None),
    ]


WAVE_CONTAINERS = {
    "matrix": lambda: WAVES,
    "matrix of float64": lambda: WAVES.astype(float),
    "matrix of objects": lambda: WAVES.astype(object),
    "DataFrame": lambda: pd.DataFrame(WAVES),
    "list of lists": lambda: WAVES.tolist(),
    "list of tuples": lambda: [tuple(wave) for wave in WAVES.tolist()],
    "tensor": lambda: torch.from_numpy(WAVES),
    "tensor with gradient": lambda: torch.tensor(WAVES, requires_grad=True),
    "tensor with channels": lambda: torch.from_numpy(WAVES)[:, None],
    "array with channels": lambda: WAVES[:, None],
    "array with channels last": lambda: WAVES[:, :, None],
    "list of arrays": lambda: list(WAVES),
    "list of tensors": lambda: list(torch.from_numpy(WAVES)),
    "list of mono files of soundfile": lambda: list(WAVES[:, :, None]),
    "array of arrays": lambda: objects(list(WAVES)),
    "Series of arrays": lambda: pd.Series(list(WAVES), index=[7, 5, 1]),
    "DataFrame of arrays": lambda: pd.DataFrame({"audio": list(WAVES)}),
    "pairs with rates": lambda: [(wave, 8000) for wave in WAVES],
    "array of pairs": lambda: np.array([(wave, 8000) for wave in WAVES], dtype=object),
    "pairs of scipy": lambda: [(8000, wave) for wave in WAVES],
    "Hugging Face": lambda: [{"array": wave, "sampling_rate": 8000} for wave in WAVES],
    "generator": lambda: iter(WAVES),
}


@pytest.mark.parametrize("name", WAVE_CONTAINERS)
def test_containers_of_waveforms(name):
    np.testing.assert_array_equal(waveforms(WAVE_CONTAINERS[name]()), WAVES[:, None])


def test_stereo_as_soundfile_reads_it():
    stereo = [np.stack([wave, -wave[::-1]]) for wave in WAVES]
    expected = waveforms(stereo)
    np.testing.assert_array_equal(expected, stereo)
    for form in (np.transpose, lambda x: x.T.copy(), lambda x: (x.T, 8000)):
        np.testing.assert_array_equal(waveforms([form(clip) for clip in stereo]), expected)
    np.testing.assert_array_equal(waveforms(np.stack([clip.T for clip in stereo])), expected)


def test_both_orders_of_axes_in_one_container_are_refused():
    with pytest.raises(
        ValueError, match=r"clip 1 has shape \(2, 50\), but clip 2 has shape \(50, 2\)"
    ):
        check([WAVES[0], WAVES[:2], WAVES[:2].T])


def test_waveforms_with_rates_are_resampled(write_audio, sine):
    samples = sine(0.5, 22050)
    path = write_audio("a.wav", samples, 22050, subtype="FLOAT")
    expected = check([path]).load(0, 8000)
    clips = check([(samples, 22050), samples[:100]])
    assert [clips.n_samples(index, 8000) for index in range(2)] == [expected.shape[1], 100]
    np.testing.assert_array_equal(clips.load(0, 8000), expected)
    np.testing.assert_array_equal(clips.load(1, 8000), samples[None, :100])


@pytest.mark.parametrize(
    ("dtype", "full"), [("i1", 2**7), ("i2", 2**15), (">i2", 2**15), ("i4", 2**31)]
)
@pytest.mark.parametrize("form", [np.asarray, list, pd.DataFrame], ids=["matrix", "list", "frame"])
def test_integers_are_scaled_by_their_range(dtype, full, form):
    X = (WAVES * full).astype(dtype)
    np.testing.assert_array_equal(waveforms(form(X)), (X / full).astype(np.float32)[:, None])


@pytest.mark.parametrize("form", [np.asarray, list, pd.DataFrame, lambda X: X.tolist()])
@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_integers_of_64_bits_are_those_of_the_type_whose_range_they_keep_to(dtype, form):
    X = (WAVES * np.iinfo(dtype).max).astype(dtype)
    np.testing.assert_array_equal(waveforms(form(X.astype(np.int64))), waveforms(X))


def test_a_quiet_clip_does_not_change_the_range_of_the_others():
    loud, quiet = np.full(50, 2**20), np.full(50, 100)
    np.testing.assert_array_equal(waveforms([loud, quiet])[1], quiet[None] / np.float32(2**31))


def test_integers_beyond_those_of_audio_files_are_refused():
    with pytest.raises(ValueError, match="int64 from 0 to 2147483648"):
        check([np.array([0, 2**31])])


@pytest.mark.parametrize(
    ("dtype", "message"), [("u1", "uint8.*128"), ("u2", "uint16"), ("bool", "bool")]
)
def test_types_of_samples_that_are_refused_in_a_matrix(dtype, message):
    with pytest.raises(ValueError, match=f"X has samples of type {message}"):
        check(np.ones((3, 50), dtype=dtype))


def test_a_recording_in_place_of_a_matrix_gives_a_warning():
    with pytest.warns(UserWarning, match=r"X of shape \(50, 2\) is read as 50 clips of 2 samples"):
        check(WAVES[:2].T)


def test_files_in_memory():
    clips = check([io.BytesIO(b"RIFF"), bytearray(b"fLaC")])
    names = ["<X: clip 0>", "<X: clip 1>"]
    contents = [b"RIFF", b"fLaC"]
    assert clips.sections == [
        Section(MemoryFile(content, name)) for content, name in zip(contents, names, strict=True)
    ]


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, "", float("nan")])
@pytest.mark.parametrize("container", [list, pd.Series, objects])
def test_gaps_among_clips(gap, container):
    for clips in (PATHS, list(WAVES)):
        X = container([*clips, gap])
        with pytest.raises((TypeError, ValueError), match=r"^X: clip 3 is .* but a clip must be"):
            check(X)
        read = check(X, on_error="skip")
        assert len(read) == 4
        for method in (read.n_samples, read.load):
            with pytest.raises(ValueError, match=r"^X: clip 3 is .* but a clip must be"):
                method(3, 8000)


@pytest.mark.parametrize(
    "X",
    [
        [None, None],
        [np.nan, np.nan],
        np.array([np.nan, np.nan]),
        pd.Series([np.nan, np.nan]),
        pd.DataFrame({"path": [np.nan, np.nan]}),
        pd.DataFrame({"path": [np.nan, np.nan], "start": [0, 5]}),
        np.array([[None], [None]]),
    ],
)
def test_nothing_but_gaps(X):
    with pytest.raises(TypeError, match=r"^X: clip 0 is "):
        check(X)
    clips = check(X, on_error="skip")
    assert len(clips) == 2
    with pytest.raises(ValueError, match=r"^X: clip 1 is "):
        clips.n_samples(1, 8000)


def test_gaps_in_columns_of_sections():
    X = pd.DataFrame({"path": ["a.wav", None], "start": [5, 5]})
    with pytest.raises(TypeError, match="clip 1 is"):
        check(X)
    assert check(X, on_error="warn").take([0]).sections == [("a.wav", 5, None)]


@pytest.mark.parametrize("number", [5, 2.5, np.int64(5), True])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_number_among_paths_is_refused(number, on_error):
    for X in ([*PATHS, number], objects([*PATHS, number]), objects([*PATHS, number])[:, None]):
        with pytest.raises(TypeError, match=r"^X: clip 3 is .* of type (int|float|bool)"):
            check(X, on_error)


def test_rows_that_are_not_finite_are_left_to_on_error():
    X = WAVES.copy()
    X[1, 5] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        check(X)
    clips = check(X, on_error="skip")
    np.testing.assert_array_equal(clips.load(2, 8000), X[2:])
    with pytest.raises(ValueError, match="Clip 1: sample 5 is NaN"):
        clips.load(1, 8000)


def test_a_number_in_a_column_of_paths_is_refused():
    for X in (pd.DataFrame({"path": [1, 2], "start": 0, "stop": 5}), [{"path": 1, "start": 0}]):
        with pytest.raises(TypeError, match=r"clip 0 has .*1.* of type int\d* in place of a path"):
            check(X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ("a.wav", ValueError, r"single path 'a.wav'.*\['a.wav'\]"),
        (Path("a.wav"), ValueError, "single path 'a.wav'"),
        (b"RIFF", ValueError, r"single clip .*\[X\]"),
        (io.BytesIO(b"RIFF"), ValueError, "single clip"),
        (Section("a.wav", 0, 5), ValueError, "single clip"),
        (("a.wav", 0, 5), ValueError, "single clip"),
        ((WAVES[0], 8000), ValueError, r"single clip \(<ndarray of shape \(50,\)>, 8000\)"),
        ((8000, WAVES[0]), ValueError, "single clip"),
        ({"array": WAVES[0], "sampling_rate": 8000}, TypeError, "X is a dict"),
        (set(PATHS), TypeError, "X is a set, which has no order"),
        (frozenset(PATHS), TypeError, "X is a frozenset, which has no order"),
        (WAVES[0], ValueError, r"1D array of 50 numbers.*\[X\] for a single waveform"),
        (WAVES[0].tolist(), ValueError, "1D list of 50 numbers"),
        (pd.Series(WAVES[0]), ValueError, "1D array of 50 numbers"),
        (torch.from_numpy(WAVES[0]), ValueError, "1D array of 50 numbers"),
        (np.array("a.wav"), ValueError, r"shape \(\)"),
        (np.zeros((1, 2, 3, 4)), ValueError, r"shape \(1, 2, 3, 4\)"),
        (np.zeros((2, 40, 50)), ValueError, r"dim 3 and shape \(2, 40, 50\)"),
        (np.array([["a.wav", "b.wav"]]), ValueError, r"strings of shape \(1, 2\)"),
        (np.array(["2020-01-01"], dtype="M8[D]"), ValueError, "type datetime64"),
        (np.ma.masked_greater(WAVES, 0), TypeError, "masked array"),
        (sparse.csr_array(np.eye(3)), TypeError, r"X\.toarray\(\)"),
        (sparse.dok_array((3, 3)), TypeError, r"X\.toarray\(\)"),
        (None, ValueError, "None of type NoneType"),
        (5, ValueError, "5 of type int"),
        (frame().assign(label="dog"), ValueError, r"columns \['path', 'start', 'stop', 'label'\]"),
        (pd.DataFrame({"a": PATHS, "b": PATHS}), ValueError, r"columns \['a', 'b'\]"),
        (frame(start="onset", stop="offset"), ValueError, "'onset', 'offset'"),
        (frame(stop="file"), ValueError, "'path', 'start', 'file'"),
        (iter([]), ValueError, "X is empty"),
        (pd.DataFrame(), ValueError, r"columns \[\]"),
    ],
)
def test_what_is_no_container_of_clips(X, error, message):
    with pytest.raises(error, match=message) as caught:
        check(X)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "X",
    [
        "x" * 10**6,
        ["x" * 10**6],
        [PATHS * 10**4],
        np.array(["x" * 10**5, "y"] * 4).reshape(2, 4),
        np.array([[1.0, "x" * 10**5]] * 3, dtype=object),
        np.array([[1.0, 2.0], [3.0, "x" * 10**5]], dtype=object),
        np.full((30, 30), 1j),
        pd.DataFrame({str(k) * 100: PATHS for k in range(100)}),
        [list(range(1000)), list(range(999))],
        b"x" * 10**6,
        [{"x" * 10**6: 1}],
    ],
)
def test_no_message_holds_the_data(X):
    with pytest.raises((TypeError, ValueError)) as caught:
        check(X)
    assert len(str(caught.value)) < 400


def test_another_container_is_called_by_its_name():
    with pytest.raises(TypeError, match="X_val: clip 1 is None"):
        check(["a.wav", None], name="X_val")


def polars_forms(pl):
    return {
        "Series": pl.Series(PATHS),
        "Series of categories": pl.Series(PATHS, dtype=pl.Categorical),
        "DataFrame": pl.DataFrame({"clip": PATHS}),
        "Series of structs": pl.Series([{"path": path, "bytes": None} for path in PATHS]),
    }


def pyarrow_forms(pa):
    return {
        "Array": pa.array(PATHS),
        "ChunkedArray": pa.chunked_array([PATHS[:1], PATHS[1:]]),
        "dictionary": pa.array(PATHS).dictionary_encode(),
        "Table": pa.table({"clip": PATHS}),
        "RecordBatch": pa.record_batch({"clip": PATHS}),
        "list of scalars": list(pa.array(PATHS)),
        "structs": pa.array([{"path": path, "bytes": None} for path in PATHS]),
    }


LIBRARIES = {"polars": polars_forms, "pyarrow": pyarrow_forms}


@pytest.mark.parametrize("library", LIBRARIES)
def test_paths_of_other_libraries(library):
    for name, X in LIBRARIES[library](pytest.importorskip(library)).items():
        assert sections(X) == [(path, None, None) for path in PATHS], name


@pytest.mark.parametrize("library", LIBRARIES)
def test_sections_of_other_libraries(library):
    make = {"polars": "DataFrame", "pyarrow": "table"}[library]
    table = {name: list(frame()[name].astype(object)) for name in frame()}
    table = {
        name: [None if pd.isna(value) else value for value in values]
        for name, values in table.items()
    }
    assert sections(getattr(pytest.importorskip(library), make)(table)) == SECTIONS


@pytest.mark.parametrize("library", LIBRARIES)
def test_waveforms_of_other_libraries(library):
    module = pytest.importorskip(library)
    if library == "polars":
        lists = module.Series(WAVES.tolist(), dtype=module.List(module.Float32))
        equal = module.Series(WAVES, dtype=module.Array(module.Float32, 50))
        forms = [lists, equal, equal.to_frame("audio"), module.DataFrame(WAVES)]
        unequal = module.Series([[0.5, 1.0], [0.25]])
    else:
        lists = module.array(WAVES.tolist(), module.list_(module.float32()))
        columns = {str(k): WAVES[:, k] for k in range(50)}
        forms = [lists, module.table({"audio": lists}), module.table(columns)]
        unequal = module.array([[0.5, 1.0], [0.25]])
    for X in forms:
        np.testing.assert_array_equal(waveforms(X), WAVES[:, None])
    assert [wave.tolist() for wave in waveforms(unequal)] == [[[0.5, 1.0]], [[0.25]]]


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables_of_other_libraries_with_other_columns(library):
    make = {"polars": "DataFrame", "pyarrow": "table"}[library]
    X = getattr(pytest.importorskip(library), make)({"path": PATHS, "label": PATHS})
    with pytest.raises(ValueError, match=r"columns \['path', 'label'\]"):
        check(X)


def test_a_lazy_frame_is_refused():
    pl = pytest.importorskip("polars")
    with pytest.raises(ValueError, match=r"X is .* of type LazyFrame"):
        check(pl.LazyFrame({"path": PATHS}))


@pytest.mark.parametrize("library", LIBRARIES)
def test_gaps_of_other_libraries(library):
    module = pytest.importorskip(library)
    X = {"polars": "Series", "pyarrow": "array"}[library]
    with pytest.raises(TypeError, match="clip 1 is None"):
        check(getattr(module, X)(["a.wav", None]))


def test_reusable_lists_only_what_is_read_once():
    for X in (PATHS, WAVES, pd.Series(PATHS), torch.from_numpy(WAVES), sparse.csr_array(np.eye(3))):
        assert reusable(X) is X
    assert reusable(iter(PATHS)) == PATHS
    assert reusable(dict.fromkeys(PATHS).keys()) == PATHS
    with pytest.raises(TypeError, match="no order"):
        reusable(set(PATHS))


@pytest.fixture(scope="module")
def files(scenes):
    X, _ = scenes.to_xy("balanced_train")
    return list(map(str, X)), [["rain"], ["siren"], ["rain", "siren"]] * 4


@pytest.fixture(scope="module")
def fitted(files):
    X, Y = files
    return WALNetTagger(sample_rate=8000, max_epochs=1, on_error="skip", random_state=0).fit(X, Y)


def test_scores_of_files_in_memory_are_those_of_files(fitted, files):
    X, _ = files
    expected = fitted.predict_proba(X)
    np.testing.assert_array_equal(
        fitted.predict_proba([Path(path).read_bytes() for path in X]), expected
    )
    opened = [io.BytesIO(Path(path).read_bytes()) for path in X]
    for _ in range(2):
        np.testing.assert_array_equal(fitted.predict_proba(opened), expected)


def test_scores_of_a_gap_are_nan(fitted, files):
    X, _ = files
    expected = fitted.predict_proba(X[:2])
    with pytest.warns(UserWarning, match="1 of 3 clips of X cannot be read.*X: clip 1 is None"):
        scores = fitted.predict_proba([X[0], None, X[1]])
    assert np.isnan(scores[1]).all()
    np.testing.assert_array_equal(scores[[0, 2]], expected)


def test_gaps_are_left_out_of_training(files):
    X, Y = files
    X_kept, Y_kept = X[:5] + X[6:], Y[:5] + Y[6:]
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, on_error="skip", random_state=0)
    expected = tagger.fit(X_kept, Y_kept).predict_proba(X)
    with pytest.warns(UserWarning, match="1 of 12 clips of X cannot be read"):
        tagger.fit([*X[:5], np.nan, *X[6:]], Y)
    assert tagger.skipped_[["container", "position"]].values.tolist() == [["X", 5]]
    assert tagger.skipped_.cause[0].startswith("X: clip 5 is nan")
    np.testing.assert_array_equal(tagger.predict_proba(X), expected)


def test_sections_without_a_full_window_give_a_warning(fitted, files):
    X, _ = files
    message = rf"{re.escape(X[0])}' \(samples 0 to 5\): the section is shorter.*2 such.*seconds"
    with pytest.warns(UserWarning, match=message):
        fitted.predict_proba([(X[0], 0, 5), (X[1], 3, 8), (X[2], 0, 320)])


def test_iterators_go_where_clips_are_read_more_than_once(files):
    X, Y = files
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, cross_fit=2, random_state=0)
    expected = tagger.fit_transform(X, Y)
    np.testing.assert_array_equal(tagger.fit_transform(iter(X), Y), expected)
    tuned = TunedThresholdTagger(tagger, cv=0.5, random_state=0)
    assert tuned.fit(iter(X), Y).predict(X).shape == (len(X), 2)
