"""Embeddings of an archive, and the search in them."""

import json
import os
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import soundfile
from _networks import OddNet, TinyNet
from sklearn.neighbors import NearestNeighbors

from sktagger import AudioEmbedding, AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.networks import EfficientAT
from sktagger.recordings import _results as parts_module
from sktagger.recordings import nearest, read_results, tag_files
from sktagger.recordings._results import Version, to_table, write_part

RATE = 8000
METRICS = ("cosine", "euclidean")


def fit(tagger, n_samples=RATE):
    X = list(np.random.default_rng(0).standard_normal((6, n_samples)))
    return tagger.fit(X, [["a"], ["b"], ["a", "b"], [], ["a"], ["b"]])


@pytest.fixture(scope="module")
def tiny():
    return fit(AudioTagger(TinyNet(rate=RATE, width=8), max_epochs=1, random_state=0, verbose=0))


@pytest.fixture(scope="module")
def walnet():
    return fit(WALNetTagger(sample_rate=RATE, max_epochs=1, random_state=0, verbose=0))


@pytest.fixture(scope="module")
def efficientat():
    tagger = AudioTagger(EfficientAT(width=0.1), max_epochs=1, random_state=0, verbose=0)
    return fit(tagger, 16_000)


@pytest.fixture
def archive(tmp_path):
    """A folder of five recordings of 2.5 to 6.5 s; noise of another color in each."""
    folder = tmp_path / "archive"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(5):
        noise = np.convolve(rng.uniform(-0.4, 0.4, round((k + 2.5) * RATE)), [1, k / 3 - 1], "same")
        soundfile.write(folder / f"r{k}.wav", noise / 2, RATE, subtype="FLOAT")
    return folder


@pytest.fixture
def tagged(tiny, archive, tmp_path):
    """The results of the archive, in three parts."""
    tag(tiny, archive, tmp_path / "out")
    return tmp_path / "out"


def tag(tagger, files, out, **settings):
    settings = {"window": 1.0, "files_per_part": 2, "embeddings": True, "verbose": 0} | settings
    return tag_files(tagger, files, out, **settings)


def write_results(folder, embeddings, kind="windows", rows_per_file=7, files_per_part=5):
    """Write results as tag_files does, of given embeddings, in several parts."""
    folder.mkdir()
    settings = {"format": 1, "model": "", "kind": kind, "embeddings": True}
    (folder / "manifest.json").write_text(json.dumps(settings))
    position = np.arange(len(embeddings))
    rows = pd.DataFrame(
        {
            "file": [f"{k // rows_per_file:04d}.wav" for k in position],
            "onset": 10.0 * (position % rows_per_file),
            "offset": 10.0 * (position % rows_per_file) + 10,
        }
    )
    if kind == "clips":
        rows = rows.drop(columns="onset").rename(columns={"offset": "duration"})
    step = rows_per_file * files_per_part
    for first in range(0, len(rows), step):
        of_part = rows[first : first + step].reset_index(drop=True)
        table = to_table(of_part, embeddings[first : first + step].astype(np.float16))
        files = dict.fromkeys(of_part["file"], Version())
        write_part(folder, table, files, {})
    return rows


@pytest.fixture
def small_blocks(monkeypatch):
    """Row groups of 10 rows, so that a part has several."""
    monkeypatch.setattr(parts_module, "_BLOCK_ROWS", 10)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 10, 500])
def test_neighbors_are_those_of_scikit_learn(tmp_path, metric, k):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((300, 24)).astype(np.float16).astype(np.float64)
    rows = write_results(tmp_path / "out", embeddings)
    queries = rng.standard_normal((70, 24))  # more than are computed at once
    n_found = min(k, len(embeddings))
    search = NearestNeighbors(n_neighbors=n_found, metric=metric, algorithm="brute")
    distances, positions = search.fit(embeddings).kneighbors(queries)
    found = nearest(tmp_path / "out", queries, k, metric=metric)
    values = found.pop("similarity" if metric == "cosine" else "distance").to_numpy()
    expected = rows.loc[positions.ravel()].reset_index(drop=True)
    expected.insert(0, "query", np.repeat(np.arange(len(queries)), n_found))
    pd.testing.assert_frame_equal(found, expected)
    values = 1 - values if metric == "cosine" else values
    np.testing.assert_allclose(values, distances.ravel(), atol=1e-9)
    one = nearest(tmp_path / "out", queries[3], k, metric=metric)
    assert list(one.columns[:3]) == ["file", "onset", "offset"]
    pd.testing.assert_frame_equal(
        one.iloc[:, :3], expected.loc[expected["query"] == 3].iloc[:, 1:].reset_index(drop=True)
    )


@pytest.mark.parametrize("metric", METRICS)
def test_similar_rows_are_not_confused_by_rounding(tmp_path, monkeypatch, metric):
    """Differences far below the precision of float32 decide."""
    rng = np.random.default_rng(0)
    embeddings = 1000 + rng.integers(0, 2, (200, 256)).astype(np.float64)
    query = 1000 + rng.uniform(size=256)
    rows = write_results(tmp_path / "out", embeddings)
    if metric == "cosine":
        norms = np.linalg.norm(embeddings, axis=1)
        keys = -(embeddings @ query) / norms
    else:
        keys = np.square(embeddings - query).sum(axis=1)
    expected = rows.loc[np.argsort(keys)[:5]].reset_index(drop=True)
    for size in (7, 64, 1000):
        monkeypatch.setattr(parts_module, "_BLOCK_ROWS", size)
        found = nearest(tmp_path / "out", query, 5, metric=metric)
        pd.testing.assert_frame_equal(found.iloc[:, :3], expected)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_are_in_the_order_of_file_and_onset(tmp_path, monkeypatch, metric):
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((4, 33))
    kinds = rng.integers(0, 4, 500)
    rows = write_results(tmp_path / "out", distinct[kinds])
    query = distinct[2].astype(np.float16)
    expected = rows.loc[kinds == 2].head(20).reset_index(drop=True)
    for size in (3, 50, 10_000):
        monkeypatch.setattr(parts_module, "_BLOCK_ROWS", size)
        found = nearest(tmp_path / "out", query, 20, metric=metric)
        pd.testing.assert_frame_equal(found.iloc[:, :3], expected)
        np.testing.assert_allclose(found.iloc[:, 3], 1 if metric == "cosine" else 0, atol=1e-9)


def test_memory_does_not_grow_with_the_archive(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "_BLOCK_ROWS", 500)
    rng = np.random.default_rng(0)
    peaks = []
    for n_rows in (2000, 16_000):
        out = tmp_path / str(n_rows)
        embeddings = rng.standard_normal((n_rows, 64))
        write_results(out, embeddings, rows_per_file=50, files_per_part=10**6)
        nearest(out, embeddings[:3])
        tracemalloc.start()
        nearest(out, embeddings[:3])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_silence_has_a_cosine_of_zero(tmp_path):
    embeddings = np.array([[0, 0], [1, 0], [-1, 0.5]])
    write_results(tmp_path / "out", embeddings)
    found = nearest(tmp_path / "out", [2, 0])
    np.testing.assert_allclose(found["similarity"], [1, 0, -1 / np.hypot(1, 0.5)])
    assert nearest(tmp_path / "out", [0, 0])["similarity"].tolist() == [0, 0, 0]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows_per_file", [3, 23])  # less and more than a block
def test_best_window_of_each_file(tmp_path, metric, rows_per_file):
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((230, 6))
    write_results(tmp_path / "out", embeddings, rows_per_file=rows_per_file)
    query = rng.standard_normal(6)
    every = nearest(tmp_path / "out", query, 1000, metric=metric)
    assert len(every) == 230
    expected = every.drop_duplicates("file").head(8).reset_index(drop=True)
    found = nearest(tmp_path / "out", query, 8, metric=metric, per_file=True)
    pd.testing.assert_frame_equal(found, expected)


def test_clips_last_from_zero_to_their_duration(tmp_path):
    write_results(tmp_path / "out", np.eye(3), kind="clips")
    found = nearest(tmp_path / "out", [0, 1, 0], 1)
    assert found.to_numpy().tolist() == [["0000.wav", 0, 20, 1]]


@pytest.mark.parametrize(
    ("name", "window", "hop"),
    [("tiny", 1.0, 0.5), ("walnet", 1.0, None), ("efficientat", 2.0, None)],
)
def test_embeddings_are_those_of_the_same_sections(name, window, hop, archive, tmp_path, request):
    tagger = request.getfixturevalue(name)
    tag(tagger, archive, tmp_path / "out", window=window, hop=hop)
    tag(tagger, archive, tmp_path / "plain", window=window, hop=hop, embeddings=False)
    rows = read_results(tmp_path / "out", embeddings=True)
    sections = [
        (file, round(onset * RATE), round(offset * RATE))
        for file, onset, offset in rows[["file", "onset", "offset"]].itertuples(index=False)
    ]
    expected = AudioEmbedding(tagger, verbose=0).transform(sections)
    embeddings = np.stack(rows.pop("embedding"))
    assert embeddings.dtype == np.float32
    scale = np.abs(expected).max()
    assert scale > 0
    # float16 has 11 bits, the hidden layers in bfloat16 have 8
    atol = 3e-2 if name != "tiny" else 2e-3
    np.testing.assert_allclose(embeddings / scale, expected / scale, atol=atol)
    pd.testing.assert_frame_equal(rows, read_results(tmp_path / "plain"), atol=5e-3)


@pytest.mark.parametrize("name", ["tiny", "walnet", "efficientat"])
def test_embeddings_of_segments(name, archive, request):
    tagger = request.getfixturevalue(name)
    path = str(archive / "r4.wav")
    (expected,) = AudioEmbedding(tagger, verbose=0).transform_segments([path])
    onsets, offsets, scores, embeddings = zip(*tagger.iter_embeddings(path), strict=True)
    assert list(zip(onsets, offsets, strict=True)) == expected.index.tolist()
    scale = np.abs(expected.to_numpy()).max()
    np.testing.assert_allclose(np.array(embeddings) / scale, expected / scale, atol=3e-2)
    (plain,) = tagger.predict_segments([path])
    np.testing.assert_allclose(np.array(scores), plain, atol=5e-3)


def test_long_windows_are_computed_in_chunks(walnet, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 130 * RATE)
    path = str(tmp_path / "long.wav")
    soundfile.write(path, noise, RATE, subtype="FLOAT")
    ((_, offset, scores, embedding),) = walnet.iter_embeddings(path, window=200)
    assert offset == 130
    np.testing.assert_allclose(scores, walnet.predict_proba([path])[0], atol=5e-3)
    (expected,) = AudioEmbedding(walnet, verbose=0).transform([path])
    np.testing.assert_allclose(embedding, expected, atol=3e-2 * np.abs(expected).max())


def test_network_runs_once(tiny, archive, tmp_path, monkeypatch):
    counts = []
    method = type(tiny.module_).segment_embeddings

    def count(self, stft, n_frames, **distortions):
        counts.append(len(stft))
        return method(self, stft, n_frames, **distortions)

    monkeypatch.setattr(type(tiny.module_), "segment_embeddings", count)
    for embeddings in (False, True):
        counts.clear()
        tag(tiny, archive, tmp_path / f"out{embeddings}", embeddings=embeddings)
        assert sum(counts) == len(read_results(tmp_path / f"out{embeddings}"))


def test_embedding_of_a_clip_is_the_mean_of_its_windows(tiny, archive, tagged, tmp_path):
    tag(tiny, archive, tmp_path / "clips", kind="clips")
    clips = read_results(tmp_path / "clips", embeddings=True).set_index("file")
    assert list(clips.columns) == ["duration", "a", "b", "embedding"]
    windows = read_results(tagged, embeddings=True).groupby("file")["embedding"]
    for file, of_file in windows:
        mean = np.mean(np.stack(of_file), axis=0)
        np.testing.assert_allclose(clips["embedding"][file], mean, rtol=3e-3, atol=1e-4)


def test_embeddings_are_read_only_if_asked(tagged):
    assert list(read_results(tagged).columns) == ["file", "onset", "offset", "a", "b"]
    rows = read_results(tagged, ["file", "b"], embeddings=True)
    assert list(rows.columns) == ["file", "b", "embedding"]
    assert rows["embedding"][0].shape == (8,)
    with pytest.raises(ValueError, match=r"no column 'embedding'.* Set embeddings=True"):
        read_results(tagged, ["file", "embedding"])


def test_embeddings_are_stored_as_lists_of_fixed_size(tagged):
    for part in tagged.glob("part-*"):
        kind = pyarrow.parquet.read_schema(part).field("embedding").type
        assert kind.list_size == 8
        assert kind.value_type == pyarrow.float16()


def test_resumed_run_has_all_embeddings(tiny, archive, tagged, tmp_path):
    (archive / "text.wav").write_text("no audio")
    soundfile.write(archive / "r1.wav", np.full(2 * RATE, 0.1), RATE)
    with pytest.warns(UserWarning, match="1 files have changed"):
        tag(tiny, archive, tagged, files_per_part=1, resume=True)
    with pytest.raises(ValueError, match="embeddings is True there and False now"):
        tag(tiny, archive, tagged, embeddings=False, resume=True)
    tag(tiny, archive, tmp_path / "one")
    columns = ["file", "onset"]
    again, once = (
        read_results(folder, embeddings=True).sort_values(columns, ignore_index=True)
        for folder in (tagged, tmp_path / "one")
    )
    np.testing.assert_array_equal(np.stack(again.pop("embedding")), np.stack(once.pop("embedding")))
    pd.testing.assert_frame_equal(again, once)


def test_results_without_embeddings_of_earlier_versions_are_continued(tiny, archive, tmp_path):
    out = tmp_path / "out"
    tag(tiny, archive, out, embeddings=False)
    manifest = out / "manifest.json"
    settings = json.loads(manifest.read_text())
    assert settings.pop("embeddings") is False
    manifest.write_text(json.dumps(settings))
    tag(tiny, archive, out, embeddings=False, resume=True)
    with pytest.raises(ValueError, match=r"results=.* has no embeddings\. Call tag_files with"):
        nearest(out, np.ones(8))
    with pytest.raises(ValueError, match=r"embeddings=True, but the results in .* have no"):
        read_results(out, embeddings=True)


def rows_of(tagged, file=None):
    rows = read_results(tagged, ["file", "onset", "offset"], embeddings=True)
    return rows if file is None else rows.loc[rows["file"] == str(file)]


def test_window_of_the_archive_uses_its_embedding(archive, tagged):
    file = archive / "r3.wav"
    row = rows_of(tagged, file).iloc[1]
    found = nearest(tagged, (file, 1, 2), 100)
    expected = nearest(tagged, row["embedding"], 100)
    assert expected.iloc[0][["file", "onset", "offset"]].tolist() == [str(file), 1, 2]
    pd.testing.assert_frame_equal(found, expected[1:].reset_index(drop=True))
    found = nearest(tagged, (file, 1, 2), 100, include_query=True)
    pd.testing.assert_frame_equal(found, expected)


def test_windows_that_overlap_the_query_are_left_out(archive, tagged):
    # the recording has 5.5 s, so the last window begins at 4.5 s
    found = nearest(tagged, (archive / "r3.wav", 4, 5), 100)
    own = found.loc[found["file"] == str(archive / "r3.wav"), "onset"]
    assert sorted(own) == [0, 1, 2, 3]


def test_file_of_the_archive_is_the_mean_of_its_windows(archive, tagged, monkeypatch):
    file = archive / "r2.wav"
    mean = np.mean(np.stack(rows_of(tagged, file)["embedding"]).astype(np.float64), axis=0)
    expected = nearest(tagged, mean, 100)
    expected = expected.loc[expected["file"] != str(file)].reset_index(drop=True)
    monkeypatch.chdir(archive)
    found = nearest(tagged, "r2.wav", 100)  # another name of the same file
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6)
    os.remove(file)
    pd.testing.assert_frame_equal(nearest(tagged, file, 100), found)


def test_new_clip_is_computed_by_the_tagger(tiny, archive, tagged, tmp_path):
    content, _ = soundfile.read(archive / "r4.wav")
    new = tmp_path / "new.wav"
    soundfile.write(new, content[2 * RATE : 3 * RATE], RATE, subtype="FLOAT")
    tuned = TunedThresholdTagger(tiny, cv="prefit").fit([new] * 4, [["a"], ["b"], ["a"], []])
    for tagger in (tiny, tuned):
        found = nearest(tagged, new, tagger=tagger)
        assert found.loc[0, ["file", "onset"]].tolist() == [str(archive / "r4.wav"), 2]
        assert found["similarity"][0] == pytest.approx(1, abs=1e-3)
    # a section that is no window of the archive
    found = nearest(tagged, (archive / "r4.wav", 2.25, 3.25), 100, tagger=tiny)
    own = found.loc[found["file"] == str(archive / "r4.wav"), "onset"]
    assert sorted(own) == [0, 1, 4, 5, 5.5]


def test_changed_file_is_computed_again(tiny, archive, tagged):
    file = archive / "r0.wav"
    soundfile.write(file, np.full(RATE, 0.1), RATE)
    with pytest.raises(ValueError, match=r"r0\.wav' has changed since, so its embedding must be"):
        nearest(tagged, file)
    assert str(file) not in set(nearest(tagged, file, 100, tagger=tiny)["file"])


def test_long_query_is_the_mean_of_windows(tiny, archive, tagged):
    file = archive / "r4.wav"
    found = nearest(tagged, (file, 0, 3), 100, tagger=tiny)
    mean = np.mean(np.stack(rows_of(tagged, file)["embedding"])[:3], axis=0)
    expected = nearest(tagged, mean, 100)
    inside = (expected["file"] == str(file)) & (expected["onset"] < 3)
    expected = expected.loc[~inside].reset_index(drop=True)
    keys = ["file", "onset"]
    left, right = (t.set_index(keys)["similarity"].sort_index() for t in (found, expected))
    pd.testing.assert_series_equal(left, right, atol=2e-3)


@pytest.mark.parametrize(
    ("query", "settings", "message"),
    [
        (np.ones(8), {"k": 0}, "k=0, but it must be an integer above 0"),
        (np.ones(8), {"metric": "dot"}, "metric='dot', but it must be 'cosine' or 'euclidean'"),
        (np.ones(7), {}, "query has 7 features, but the embeddings of the archive have 8"),
        (np.full(8, np.nan), {}, "it must be a path, a tuple"),
        (np.ones((1, 1, 8)), {}, "it must be a path, a tuple"),
        (["a.wav", "b.wav"], {}, "it must be a path, a tuple"),
        (None, {}, "it must be a path, a tuple"),
        (("r0.wav", 3), {}, r"a section must be \(path, onset, offset\)"),
        (("r0.wav", 3, 2), {}, "with 0 <= onset < offset"),
        (("r0.wav", 0.5, 1.5), {}, "'r0.wav' from 0.5 to 1.5 s is not in the archive, so its"),
        (("r0.wav", 9, 10), {"tagger": "tiny"}, "begins after its end, at 2.5 s"),
        ("new.wav", {}, "'new.wav' is not in the archive, so its embedding must be computed"),
        ("new.wav", {"tagger": "other"}, "tagger: results=.* has embeddings of another model"),
    ],
)
def test_wrong_queries(tiny, archive, tagged, monkeypatch, query, settings, message):
    monkeypatch.chdir(archive)
    soundfile.write("new.wav", np.full(RATE, 0.1), RATE)
    if "tagger" in settings:
        other = AudioTagger(TinyNet(rate=RATE), max_epochs=1, random_state=1, verbose=0)
        settings = {"tagger": tiny if settings["tagger"] == "tiny" else fit(other)}
    with pytest.raises(ValueError, match=message):
        nearest(tagged, query, **settings)


def test_missing_files_and_results(tagged, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"query: there is no file 'none\.wav', neither"):
        nearest(tagged, "none.wav")
    with pytest.raises(FileNotFoundError, match=r"There are no results in .*nowhere"):
        nearest(tmp_path / "nowhere", np.ones(8))
    for part in tagged.glob("part-*"):
        part.unlink()
    with pytest.raises(FileNotFoundError, match=r"There are no results in .* yet"):
        nearest(tagged, np.ones(8))


def test_archive_in_which_no_file_can_be_read(tiny, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    tag(tiny, tmp_path / "text.wav", tmp_path / "out")
    assert read_results(tmp_path / "out", embeddings=True).empty
    found = nearest(tmp_path / "out", np.ones(8))
    assert found.empty
    assert list(found.columns) == ["file", "onset", "offset", "similarity"]


def test_events_have_no_embeddings(tiny, archive, tmp_path):
    with pytest.raises(ValueError, match="embeddings=True has no effect for kind='events'"):
        tag(tiny, archive, tmp_path / "out", kind="events")
    assert not (tmp_path / "out").exists()


class NoEmbeddings(OddNet):
    """A network that only has scores."""

    layers = ("logits",)


def test_network_without_embeddings(archive, tmp_path):
    tagger = fit(AudioTagger(NoEmbeddings(rate=RATE), max_epochs=1, random_state=0, verbose=0))
    message = "The network NoEmbeddings has no embeddings: its layers are 'logits'"
    with pytest.raises(ValueError, match=message):
        tag(tagger, archive, tmp_path / "out")
    with pytest.raises(ValueError, match=message):
        tagger.iter_embeddings(str(archive / "r0.wav"), window=1)
    assert not (tmp_path / "out").exists()


def test_event_named_embedding(archive, tmp_path):
    X = list(np.random.default_rng(0).standard_normal((4, RATE)))
    tagger = AudioTagger(TinyNet(rate=RATE), max_epochs=1, random_state=0, verbose=0)
    tagger.fit(X, [["embedding"], ["b"]] * 2)
    with pytest.raises(ValueError, match="the event 'embedding', which is the name of another"):
        tag(tagger, archive, tmp_path / "out", embeddings=False)


@pytest.mark.parametrize("kind", ["clips", "windows"])
def test_values_beyond_float16_are_an_error_of_the_file(tiny, archive, tmp_path, monkeypatch, kind):
    method = type(tiny.module_).scores_and_embeddings

    def large(self, *features):
        scores, embeddings = method(self, *features)
        return scores, embeddings + 1e5

    monkeypatch.setattr(type(tiny.module_), "scores_and_embeddings", large)
    skipped = tag(tiny, archive, tmp_path / "out", kind=kind)
    assert len(skipped) == 5
    assert "has values above 65504, the largest that is stored" in skipped["cause"][0]
