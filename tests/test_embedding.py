"""AudioEmbedding: outputs of layers as features, its sources, its cache, scikit-learn around it."""

import io
import os
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from _networks import OddModule, OddNet, TinyNet
from _pretrained import find_model
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from sktagger import AudioEmbedding, AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.audio.clips import ArrayClips
from sktagger.audio.reading import Section
from sktagger.batching.dataset import ClipDataset
from sktagger.batching.plans import plain_example
from sktagger.networks import EfficientAT, Frames, skip_init
from sktagger.networks._pooling import PoolingModule
from sktagger.taggers._embedding_store import EmbeddingStore

RATE = 1000
SETTINGS = {"max_epochs": 1, "random_state": 0, "precision": "float32", "device": "cpu"}
EVENTS = [["rain"], ["siren"], ["rain", "siren"], []]


class PoolNet(TinyNet):
    """A network that pools features to an embedding, which a hidden layer and the head follow."""

    layers = ("embedding", "hidden", "logits")

    def _make(self, n_events):
        return PoolModule(n_events, self.rate, self.width, self.sharpness)


class PoolModule(PoolingModule, OddModule):
    head_input = "hidden"

    def __init__(self, n_events, rate, width, sharpness):
        super().__init__(n_events, rate, width, sharpness)
        self.hidden = skip_init(nn.Linear, width, 5)
        self.out = skip_init(nn.Linear, 5, n_events)

    def reset_parameters(self, random_state=0):
        super().reset_parameters(random_state)
        nn.init.normal_(self.hidden.weight, generator=torch.Generator().manual_seed(random_state))
        nn.init.zeros_(self.hidden.bias)

    @property
    def stages(self):
        return [*super().stages[:2], nn.ModuleList([self.third, self.hidden])]

    def feature_maps(self, stft, n_frames, **distortions):
        x, n_segments = OddModule.segment_embeddings(self, stft, n_frames, **distortions)
        return x, Frames.of(n_segments, x.shape[2])

    def outputs(self, layer, features):
        return features if layer == "embedding" else self.hidden(features).tanh()


def make_clips(seed=0, lengths=(3000, 2000, 4500, 300)):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(np.float32) for n in lengths]


def fit(network, seed=0):
    return AudioTagger(network, **SETTINGS | {"random_state": seed}).fit(make_clips(), EVENTS)


@pytest.fixture(scope="module")
def tiny():
    return fit(TinyNet())


@pytest.fixture(scope="module")
def pooling():
    return fit(PoolNet())


@pytest.fixture(scope="module")
def walnet():
    return WALNetTagger(sample_rate=RATE, **SETTINGS).fit(make_clips(), EVENTS)


@pytest.fixture(params=["tiny", "pooling", "walnet"])
def each_tagger(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def embedding(tiny):
    return AudioEmbedding(tiny, precision="float32")


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{k}.wav") for k in range(4)]
    for path, samples in zip(paths, make_clips(), strict=True):
        soundfile.write(path, 0.1 * samples, RATE)
    return paths


@pytest.fixture
def computed(monkeypatch):
    """Numbers of clips that the network got, call by call."""
    seen = []
    segment_embeddings = OddModule.segment_embeddings

    def noted(self, stft, n_frames, **distortions):
        seen.append(len(n_frames))
        return segment_embeddings(self, stft, n_frames, **distortions)

    monkeypatch.setattr(OddModule, "segment_embeddings", noted)
    return seen


def outputs_alone(tagger, method, clip, *args):
    """Compute outputs of a clip by itself, at once."""
    rate, sizes, _, scale, _ = tagger.network_.get_input()
    dataset = ClipDataset(ArrayClips([clip]), np.array([len(clip)]), rate, sizes, scale=scale)
    batch = dataset[[plain_example(0, len(clip), sizes)]]
    with torch.inference_mode():
        return getattr(tagger.module_.eval(), method)(*args, **batch.inputs)


# values


def test_embedding_is_the_output_of_the_layer(each_tagger):
    X = make_clips()
    for layer in each_tagger.network_.layers:
        outputs = AudioEmbedding(each_tagger, layer=layer, batch_size=2, precision="float32")
        found = outputs.transform(X)
        expected = [outputs_alone(each_tagger, "clip_outputs", x, layer)[0] for x in X]
        assert found.dtype == np.float32
        assert found.std() > 1e-3
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-5, atol=1e-5)
        assert found.shape[1] == len(outputs.get_feature_names_out())


def test_segments_are_those_of_the_scores(each_tagger):
    X = make_clips()
    outputs = AudioEmbedding(each_tagger, layer="logits", precision="float32")
    for logits, scores in zip(
        outputs.transform_segments(X), each_tagger.predict_segments(X), strict=True
    ):
        pd.testing.assert_frame_equal(1 / (1 + np.exp(-logits)), scores, atol=1e-5)


def test_logits_of_clips_are_those_of_the_scores(pooling):
    logits = AudioEmbedding(pooling, layer="logits", precision="float32").transform(make_clips())
    np.testing.assert_allclose(
        1 / (1 + np.exp(-logits)), pooling.predict_proba(make_clips()), atol=1e-6
    )


@pytest.mark.parametrize("name", ["mean", "max"])
def test_pooling_over_segments(each_tagger, name):
    outputs = AudioEmbedding(each_tagger, pooling=name, precision="float32")
    X = make_clips()
    expected = [getattr(table, name)(axis=0) for table in outputs.transform_segments(X)]
    np.testing.assert_allclose(outputs.transform(X), expected, rtol=1e-5, atol=1e-5)


def test_clips_and_their_order_do_not_change_the_others(embedding):
    X = make_clips()
    expected = embedding.transform(X)
    np.testing.assert_allclose(embedding.transform(X[::-1])[::-1], expected, atol=1e-6)
    np.testing.assert_allclose(embedding.transform(X[1:2]), expected[1:2], atol=1e-6)


@pytest.mark.parametrize("name", ["auto", "mean", "max"])
@pytest.mark.parametrize("tagger", ["tiny", "pooling"])
def test_long_clips_are_computed_in_chunks(request, computed, tagger, name):
    tagger = request.getfixturevalue(tagger)
    (x,) = make_clips(lengths=[450_000])  # 5624 frames
    outputs = AudioEmbedding(tagger, pooling=name, precision="float32")
    found = outputs.transform([x])
    assert computed == [1, 1]
    (table,) = outputs.transform_segments([x])
    values, n_segments = outputs_alone(tagger, "segment_outputs", x, "embedding")
    assert len(table) == n_segments
    values = values[..., : len(table)]
    np.testing.assert_allclose(table, values[0].T, rtol=1e-5, atol=1e-5)
    whole = outputs_alone(tagger, "clip_outputs", x, "embedding")
    expected = {"auto": whole, "mean": values.mean(-1), "max": values.amax(-1)}[name]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_long_clips_are_scored_by_a_network_that_pools_embeddings(pooling):
    (x,) = make_clips(lengths=[450_000])
    expected = outputs_alone(pooling, "forward", x)
    np.testing.assert_allclose(pooling.predict_proba([x]), expected, rtol=0, atol=1e-6)
    X, X_val = make_clips(), [x, *make_clips()[:1]]
    again = clone(pooling).fit(X, EVENTS, X_val=X_val, Y_val=EVENTS[:2])
    score = again.history_["valid_mAP"].iloc[1:].max()  # without that of random weights
    assert again.score(X_val, EVENTS[:2]) == pytest.approx(score)


# input


def test_files_sections_and_arrays(embedding, files):
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in files]
    expected = embedding.transform(waveforms)
    table = pd.DataFrame({"path": files})
    for X in (files, [Path(path) for path in files], np.array(files), table, pd.Series(files)):
        np.testing.assert_allclose(embedding.transform(X), expected, atol=1e-6)
    part = embedding.transform([Section(files[0], 500, 2500)])
    np.testing.assert_allclose(part, embedding.transform([waveforms[0][500:2500]]), atol=1e-6)


def test_clips_of_an_iterator_are_fitted_and_transformed(embedding):
    found = embedding.fit_transform(iter(make_clips()))
    np.testing.assert_array_equal(found, embedding.transform(make_clips()))


def test_unreadable_clips(embedding, files):
    X = [*files[:2], "missing.wav"]
    with pytest.raises(FileNotFoundError, match=r"missing\.wav"):
        embedding.transform(X)
    expected = embedding.transform(files[:2])
    embedding.set_params(on_error="skip")
    with pytest.warns(UserWarning, match="1 of 3 clips of X .* have embeddings of NaN"):
        found = embedding.transform(X)
    np.testing.assert_allclose(found[:2], expected, atol=1e-6)
    assert np.isnan(found[2]).all()
    with pytest.warns(UserWarning, match="1 of 3 clips of X .* have no segments"):
        tables = embedding.transform_segments(X)
    assert [len(table) > 0 for table in tables] == [True, True, False]
    with pytest.warns(UserWarning, match="1 of 1 clips"):
        assert embedding.transform(X[2:]).shape == (1, 8)


def test_outputs_that_are_not_finite_are_an_error(tiny, embedding, monkeypatch):
    def diverged(self, stft, n_frames, **distortions):
        return torch.full((len(stft), 8, 1), torch.inf), torch.ones(len(stft))

    monkeypatch.setattr(OddModule, "segment_embeddings", diverged)
    with pytest.raises(FloatingPointError, match=r"'embedding' for clip 0 .* this AudioTagger"):
        embedding.transform(make_clips())


def test_batch_that_does_not_fit_into_memory_is_computed_in_parts(embedding, monkeypatch):
    expected = embedding.transform(make_clips())
    segment_embeddings = OddModule.segment_embeddings

    def limited(self, stft, n_frames, **distortions):
        if len(stft) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return segment_embeddings(self, stft, n_frames, **distortions)

    monkeypatch.setattr(OddModule, "segment_embeddings", limited)
    with pytest.warns(UserWarning, match="4 clips at once .* embeddings do not change"):
        np.testing.assert_allclose(embedding.transform(make_clips()), expected, atol=1e-6)


def test_progress_is_shown(embedding, monkeypatch, capsys):
    monkeypatch.setattr("sktagger._utils.progress.INTERVAL", 0)
    embedding.transform(make_clips())
    assert "Embedding: 4 of 4 clips" in capsys.readouterr().err
    embedding.set_params(verbose=0).transform(make_clips())
    assert capsys.readouterr().err == ""


# parameters


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layer": "hidden"}, r"layer='hidden', but this AudioTagger holds a TinyNet, whose layers "
         "are 'embedding', 'logits'"),
        ({"pooling": "median"}, "pooling"),
        ({"memory": 3}, "memory"),
        ({"device": "gpu"}, "device='gpu' cannot be used here"),
        ({"batch_size": 0}, "batch_size"),
    ],
)  # fmt: skip
def test_wrong_parameters(embedding, params, message):
    embedding.set_params(**params)
    for method in ("fit", "transform", "transform_segments"):
        with pytest.raises(ValueError, match=message):
            getattr(embedding, method)(make_clips())


def test_names_of_features(tiny, pooling):
    names = AudioEmbedding(tiny).get_feature_names_out()
    assert list(names) == [f"embedding{k}" for k in range(8)]
    assert names.dtype == object
    for layer, expected in [
        ("embedding", [f"embedding{k}" for k in range(8)]),
        ("hidden", [f"hidden{k}" for k in range(5)]),
        ("logits", ["rain", "siren"]),
    ]:
        names = AudioEmbedding(pooling, layer=layer).get_feature_names_out()
        assert list(names) == expected


# sources


def test_every_source_of_the_same_weights_gives_the_same(walnet, tmp_path):
    X = make_clips()
    settings = {"precision": "float32", "device": "cpu"}
    expected = AudioEmbedding(walnet, **settings).transform(X)
    walnet.save(tmp_path / "tagger.safetensors")
    scores = walnet.predict_proba(X)
    tuned = TunedThresholdTagger(walnet, cv="prefit").fit(X, (scores > scores.mean(0)).astype(int))
    tuned.save(tmp_path / "tuned.safetensors")
    for source in (
        FrozenEstimator(walnet),
        str(tmp_path / "tagger.safetensors"),
        tmp_path / "tagger.safetensors",
        tmp_path / "tuned.safetensors",
        tmp_path,  # as the directory of an evaluation
    ):
        embedding = AudioEmbedding(source, **settings)
        np.testing.assert_array_equal(embedding.fit(X).transform(X), expected)


def test_checkpoint_is_a_source(tmp_path, scenes):
    from sktagger.training.callbacks import Checkpoint

    X, Y = scenes.to_xy("balanced_train")
    tagger = WALNetTagger(sample_rate=RATE, **SETTINGS, callbacks=[Checkpoint(tmp_path)])
    tagger.fit(X, Y, X_val=X, Y_val=Y)
    found = AudioEmbedding(tmp_path, device="cpu", precision="float32").transform(X)
    np.testing.assert_array_equal(
        found, AudioEmbedding(tagger, device="cpu", precision="float32").transform(X)
    )


def save_efficientat(path, **settings):
    """Write weights of EfficientAT as the original implementation does."""
    network = EfficientAT(width=0.4, **settings)
    state = network.build(3, random_state=1).state_dict()
    torch.save({name: state[name] for name in network.shapes(3)}, path)
    return network


def test_checkpoint_of_another_implementation_is_a_source(tmp_path):
    path = tmp_path / "mn04_as_mAP_432.pt"
    network = save_efficientat(path)
    X = make_clips(lengths=[20_000, 32_000])
    expected = AudioEmbedding(AudioTagger.from_checkpoint(path, network), precision="float32")
    for layer, n_features in [("embedding", 384), ("hidden", 512), ("logits", 3)]:
        found = AudioEmbedding(path, layer=layer, precision="float32").transform(X)
        assert found.shape == (2, n_features)
        np.testing.assert_array_equal(found, expected.set_params(layer=layer).transform(X))


def test_checkpoint_of_unknown_settings_needs_a_tagger(tmp_path):
    path = tmp_path / "weights.pt"
    network = save_efficientat(path)
    with pytest.raises(ValueError, match=r"^source: .*Or give AudioTagger\.from_checkpoint"):
        AudioEmbedding(path).fit(make_clips())
    assert AudioEmbedding(AudioTagger.from_checkpoint(path, network)).fit(make_clips())


def test_pretrained_model_is_a_source(tmp_path, monkeypatch):
    monkeypatch.setenv("SKTAGGER_CACHE", str(tmp_path))
    (tmp_path / "mn04_as_mAP_432.pt").symlink_to(find_model("mn04_as_mAP_432.pt"))
    X = make_clips(lengths=[20_000, 32_000])
    embedding = AudioEmbedding("mn04_as", precision="float32")
    found = embedding.transform(X)
    assert found.shape == (2, 384)
    of_path = AudioEmbedding(tmp_path / "mn04_as_mAP_432.pt", precision="float32")
    np.testing.assert_array_equal(of_path.transform(X), found)
    events = embedding.set_params(layer="logits").get_feature_names_out()
    assert len(events) == 527
    assert events[0] == "Speech"


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (AudioTagger(TinyNet()), NotFittedError, "source: this AudioTagger is not fitted.*Frozen"),
        (FrozenEstimator(LogisticRegression()), TypeError, "frozen estimator is a LogisticRegr"),
        (LogisticRegression(), ValueError, "source"),
        ("missing.safetensors", FileNotFoundError, "source: 'missing.safetensors' does not exist"),
        ("mn10_sa", FileNotFoundError, "no name of a pretrained model; nearest: 'mn10_as'"),
        (__file__, ValueError, "is not a saved tagger"),
    ],
)
def test_wrong_sources(source, error, message):
    for method in ("fit", "transform"):
        with pytest.raises(error, match=message):
            getattr(AudioEmbedding(source), method)(make_clips())


def test_file_is_read_once_and_again_after_a_change(tmp_path, monkeypatch):
    from sktagger.taggers import persistence

    loads = []
    load = persistence.load
    monkeypatch.setattr(persistence, "load", lambda *a, **k: loads.append(a[0]) or load(*a, **k))
    taggers = [
        WALNetTagger(sample_rate=RATE, **SETTINGS | {"random_state": k}).fit(make_clips(), EVENTS)
        for k in range(2)
    ]
    path = tmp_path / "tagger"
    taggers[0].save(path)
    embedding = AudioEmbedding(path, precision="float32", memory=tmp_path / "cache")
    first = embedding.fit_transform(make_clips())
    np.testing.assert_array_equal(clone(embedding).fit_transform(make_clips()), first)
    assert len(loads) == 1
    taggers[1].save(path)
    second = embedding.transform(make_clips())
    assert len(loads) == 2
    expected = AudioEmbedding(taggers[1], precision="float32").transform(make_clips())
    np.testing.assert_array_equal(second, expected)
    assert not np.allclose(first, second)


def test_tagger_is_not_changed(tiny):
    scores = tiny.predict_proba(make_clips())
    before = joblib.hash(pickle.dumps(tiny))
    AudioEmbedding(tiny, precision="bfloat16").transform(make_clips())
    assert tiny.module_.precision == "float32"
    assert all(weight.requires_grad for weight in tiny.module_.parameters())
    assert joblib.hash(pickle.dumps(tiny)) == before
    np.testing.assert_array_equal(tiny.predict_proba(make_clips()), scores)


def test_weights_are_shared_with_the_tagger():
    tagger = fit(TinyNet())
    embedding = AudioEmbedding(tagger)
    before = embedding.transform(make_clips())
    tagger.partial_fit(make_clips(), EVENTS)
    after = embedding.transform(make_clips())
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(after, AudioEmbedding(tagger).transform(make_clips()))


def test_threads_share_an_embedding(embedding, tmp_path):
    X = make_clips()
    expected = embedding.transform(X)
    embedding.set_params(memory=tmp_path)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: embedding.transform(X), range(8)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# scikit-learn


def checked():
    return AudioEmbedding(fit(TinyNet()), precision="float32")


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([checked()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_checks_are_not_skipped_because_of_a_tag(embedding):
    tags = embedding.__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert not tags.no_validation
    assert not tags.requires_fit


def test_clone_and_pickle(embedding, walnet, tmp_path):
    X = make_clips()
    expected = embedding.transform(X)
    cloned = clone(embedding)
    assert cloned.source is embedding.source
    assert repr(cloned) == repr(embedding)
    np.testing.assert_array_equal(cloned.transform(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(embedding)).transform(X), expected)
    joblib.dump(embedding, tmp_path / "embedding.joblib")
    loaded = joblib.load(tmp_path / "embedding.joblib", mmap_mode="r")
    np.testing.assert_array_equal(loaded.transform(X), expected)
    walnet.save(tmp_path / "tagger")
    of_file = AudioEmbedding(tmp_path / "tagger", precision="float32")
    content = pickle.dumps(of_file)
    expected = of_file.transform(X)
    assert pickle.dumps(of_file) == content
    assert len(content) < 1000
    np.testing.assert_array_equal(pickle.loads(content).transform(X), expected)


def test_parameters_of_the_source_are_not_its_own(embedding):
    assert not [name for name in embedding.get_params() if "__" in name]
    with pytest.raises(ValueError, match="Call set_params of that tagger"):
        embedding.set_params(source__lr=1.0)
    with pytest.raises(ValueError, match="Invalid parameter 'lr'"):
        embedding.set_params(lr=1.0)
    assert embedding.source.lr == "auto"


def test_frame_with_names(embedding):
    frame = embedding.set_output(transform="pandas").transform(make_clips())
    assert list(frame.columns) == [f"embedding{k}" for k in range(8)]
    np.testing.assert_array_equal(frame, embedding.set_output(transform="default").transform(
        make_clips()
    ))  # fmt: skip


def tones(n_clips=24):
    """Make tones of two pitches, and their names."""
    rng = np.random.default_rng(0)
    time = np.arange(1000) / RATE
    y = np.array(["low", "high"] * (n_clips // 2))
    pitch = np.where(y == "low", 60.0, 300.0)
    noise = 0.1 * rng.standard_normal((n_clips, len(time)))
    return list(np.sin(2 * np.pi * pitch[:, None] * time) + noise), y


def test_pipeline_is_cross_validated(embedding):
    X, y = tones()
    pipeline = make_pipeline(embedding, StandardScaler(), LogisticRegression())
    found = cross_validate(pipeline, X, y, cv=3, error_score="raise")
    assert found["test_score"].min() == 1.0


def test_search_computes_each_clip_once(embedding, computed, tmp_path):
    X, y = tones()
    pipeline = make_pipeline(
        embedding.set_params(memory=tmp_path), StandardScaler(), LogisticRegression()
    )
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0, 10.0]}, cv=5).fit(X, y)
    assert sum(computed) == len(X)
    assert search.score(X, y) == 1.0
    assert sum(computed) == len(X)


def test_search_over_sources_and_layers(tiny, pooling):
    X, y = tones()
    pipeline = make_pipeline(AudioEmbedding(tiny), LogisticRegression())
    grid = {
        "audioembedding__source": [FrozenEstimator(tiny), FrozenEstimator(pooling)],
        "audioembedding__layer": ["embedding", "logits"],
    }
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# cache


@pytest.mark.parametrize("kind", [str, Path, lambda path: joblib.Memory(path, verbose=0)])
def test_cached_embeddings_are_not_computed_again(embedding, files, computed, tmp_path, kind):
    embedding.set_params(memory=kind(tmp_path / "cache"))
    X = [*files, Section(files[0], 500, 2500), (files[0], 500, None)]
    first = embedding.transform(X)
    assert sum(computed) == len(X)
    np.testing.assert_array_equal(clone(embedding).transform(X), first)
    np.testing.assert_array_equal(embedding.transform(X[::-1]), first[::-1])
    assert sum(computed) == len(X)
    embedding.set_params(memory=joblib.Memory(None)).transform(X)
    assert sum(computed) == 2 * len(X)


@pytest.mark.parametrize("form", [list, np.stack, lambda X: [(x, 2 * RATE) for x in X]])
def test_arrays_are_cached_by_their_samples(embedding, computed, tmp_path, form):
    X = make_clips(lengths=[2000, 2000])
    embedding.set_params(memory=tmp_path)
    first = embedding.transform(form(X))
    np.testing.assert_array_equal(embedding.transform(form(X)[::-1]), first[::-1])
    assert sum(computed) == 2
    X[1][7] += 0.5
    second = embedding.transform(form(X))
    assert sum(computed) == 3
    assert not np.array_equal(first[1], second[1])
    embedding.set_params(memory=None)
    np.testing.assert_allclose(second, embedding.transform(form(X)), atol=1e-6)


def test_files_in_memory_are_cached_by_their_content(embedding, files, computed, tmp_path):
    X = [io.BytesIO(Path(path).read_bytes()) for path in files]
    embedding.set_params(memory=tmp_path / "cache")
    first = embedding.transform([file.getvalue() for file in X])
    np.testing.assert_array_equal(embedding.transform(X), first)
    assert sum(computed) == len(X)


CHANGES = {
    "written": lambda new, path: Path(path).write_bytes(Path(new).read_bytes()),
    "moved": os.replace,
}


@pytest.mark.parametrize("kind", CHANGES)
def test_changed_file_is_computed_again(embedding, files, tmp_path, kind):
    embedding.set_params(memory=tmp_path / "cache")
    first = embedding.transform(files)
    status = os.stat(files[1])
    new = str(tmp_path / "new.wav")
    soundfile.write(new, 0.1 * make_clips(seed=1)[1], RATE)
    CHANGES[kind](new, files[1])
    os.utime(files[1], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.path.getsize(files[1]) == status.st_size
    second = embedding.transform(files)
    embedding.set_params(memory=None)
    np.testing.assert_allclose(second, embedding.transform(files), atol=1e-6)
    np.testing.assert_array_equal(np.all(first == second, axis=1), [True, False, True, True])


def test_other_settings_have_other_embeddings(pooling, computed, tmp_path):
    X = make_clips()
    expected = []
    settings = [
        {},
        {"layer": "hidden"},
        {"layer": "logits"},
        {"pooling": "max"},
        {"pooling": "mean"},
        {"precision": "bfloat16"},
    ]
    for changed in settings:
        params = {"precision": "float32", "memory": tmp_path} | changed
        expected.append((params, AudioEmbedding(pooling, **params).transform(X)))
    assert sum(computed) == len(settings) * len(X)
    for params, values in expected:
        np.testing.assert_array_equal(AudioEmbedding(pooling, **params).transform(X), values)
    assert sum(computed) == len(settings) * len(X)


def test_other_weights_have_other_embeddings(computed, tmp_path):
    X = make_clips()
    taggers = [fit(TinyNet()), fit(TinyNet(), seed=1), fit(OddNet(rate=RATE, width=8))]
    taggers[2].module_.load_state_dict(taggers[0].module_.state_dict())
    computed.clear()
    for tagger in taggers:
        AudioEmbedding(tagger, memory=tmp_path).transform(X)
    assert sum(computed) == 3 * len(X)
    tagger = taggers[0]
    tagger.partial_fit(X, EVENTS)
    computed.clear()
    found = AudioEmbedding(tagger, memory=tmp_path).transform(X)
    assert sum(computed) == len(X)
    np.testing.assert_array_equal(found, AudioEmbedding(tagger).transform(X))


@pytest.mark.parametrize("damage", [
    lambda content: b"",
    lambda content: content[:-4],
    lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    lambda content: bytes(len(content)),
])  # fmt: skip
def test_damaged_embedding_is_computed_again(embedding, computed, tmp_path, damage):
    X = make_clips()
    embedding.set_params(memory=tmp_path)
    first = embedding.transform(X)
    stored = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(stored) == len(X)
    stored[0].write_bytes(damage(stored[0].read_bytes()))
    np.testing.assert_allclose(embedding.transform(X), first, rtol=0, atol=1e-6)
    assert sum(computed) == len(X) + 1
    embedding.transform(X)
    assert sum(computed) == len(X) + 1


def test_embedding_under_the_name_of_another_is_computed_again(embedding, computed, tmp_path):
    X = make_clips()
    embedding.set_params(memory=tmp_path)
    first = embedding.transform(X)
    one, other = sorted(path for path in tmp_path.rglob("*") if path.is_file())[:2]
    other.write_bytes(one.read_bytes())
    np.testing.assert_allclose(embedding.transform(X), first, rtol=0, atol=1e-6)
    assert sum(computed) == len(X) + 1


def test_unreadable_clips_are_not_cached(embedding, files, tmp_path):
    embedding.set_params(memory=tmp_path / "cache", on_error="skip")
    bad = tmp_path / "bad.wav"
    X = [files[0], None, str(bad)]
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 of 3 clips"):
            found = embedding.transform(X)
        assert np.isnan(found).all(axis=1).tolist() == [False, True, True]
    bad.write_bytes(Path(files[1]).read_bytes())
    with pytest.warns(UserWarning, match="1 of 3 clips"):
        found = embedding.transform(X)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]


def test_embeddings_before_an_error_are_kept(embedding, files, computed, tmp_path):
    embedding.set_params(memory=tmp_path / "cache", batch_size=1)
    samples = np.zeros(100, np.float32)
    samples[5] = np.nan
    bad = str(tmp_path / "bad.wav")
    soundfile.write(bad, samples, RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"bad\.wav': sample 5 is NaN"):
        embedding.transform([*files, bad])
    n_before = sum(computed)
    assert n_before >= 3
    embedding.transform(files)
    assert sum(computed) == max(n_before, 4)


def test_folder_that_cannot_be_written_to(embedding, files):
    message = rf"memory={re.escape(repr(files[0]))}: no embeddings can be cached there"
    with pytest.raises(OSError, match=message):
        embedding.set_params(memory=files[0]).transform(files)


def test_processes_share_a_cache(walnet, tmp_path):
    walnet.save(tmp_path / "tagger")
    embedding = AudioEmbedding(
        tmp_path / "tagger", memory=tmp_path / "cache", precision="float32", device="cpu"
    )
    X = make_clips()
    jobs = [joblib.delayed(clone(embedding).transform)(X) for _ in range(4)]
    with joblib.parallel_config("multiprocessing"):
        results = joblib.Parallel(n_jobs=2, timeout=60)(jobs)
    expected = embedding.transform(X)
    for found in results:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert len([path for path in (tmp_path / "cache").rglob("*") if path.is_file()]) == len(X)


def test_reader_never_sees_part_of_an_embedding(tmp_path):
    clips = ArrayClips(make_clips())
    values = np.arange(5000, dtype=np.float32)
    stores = [EmbeddingStore(tmp_path, ["a"]) for _ in range(4)]
    key = stores[0].key(clips, 0)
    stores[0].write(key, values)

    def write_and_read(store):
        for _ in range(50):
            store.write(key, values)
            np.testing.assert_array_equal(store.read(key), values)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write_and_read, stores))
    assert [path.name for path in stores[0].folder.rglob("*.part")] == []
