"""Taggers that start from weights of other projects: reading, mapping, fitting the head, tuning."""

import pickle
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from _networks import TinyNet
from _pretrained import find_model, make_stft, make_weights, serve_model
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.preprocessing import StandardScaler

from sktagger import AudioEmbedding, AudioTagger, TunedThresholdTagger, WALNetTagger
from sktagger.datasets import audioset_classes
from sktagger.metrics import map_scorer
from sktagger.networks import NETWORKS, EfficientAT, PANNs
from sktagger.networks._pooling import Dropout
from sktagger.pretrained import find_model as find_pretrained
from sktagger.pretrained import list_models
from sktagger.training.callbacks import Checkpoint
from sktagger.training.linear_head import fit_linear_head

RATE = 32000
NETWORK = EfficientAT(width=0.1)
SETTINGS = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "verbose": 0, "augmentation": None}


def make_clips(n_clips=12, seed=0):
    """Clips of noise or of a tone, and their labels."""
    rng = np.random.default_rng(seed)
    time = np.arange(RATE // 2) / RATE
    X, y = [], []
    for k in range(n_clips):
        label = ["noise", "tone"][k % 2]
        clip = 0.1 * rng.standard_normal(len(time))
        if label == "tone":
            clip += np.sin(2 * np.pi * rng.uniform(300, 3000) * time)
        X.append(clip.astype(np.float32))
        y.append(label)
    return X, np.array(y)


@pytest.fixture(scope="module")
def state():
    """Weights of a small network whose features differ from clip to clip."""
    return make_weights(NETWORK)


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mn01_as_mAP_298.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def audioset(path):
    return AudioTagger.from_checkpoint(path, verbose=0)


# reading


def test_checkpoint_gives_a_fitted_tagger_of_audioset(audioset, state):
    assert audioset.classes_.tolist() == audioset_classes()["name"].tolist()
    assert audioset.network.get_params() == NETWORK.get_params()
    X, _ = make_clips(3)
    scores = audioset.predict_proba(X)
    assert scores.shape == (3, 527)
    module = NETWORK.build(527).eval()
    module.load_state_dict(state)
    assert torch.equal(module.state_dict()["classifier.5.bias"], state["classifier.5.bias"])
    assert audioset.predict(X).shape == (3, 527)
    segments = audioset.predict_segments(X)
    assert segments[0].shape == (2, 527)  # 50 frames and one more at the edge


@pytest.mark.parametrize("new_layout", [True, False])
def test_both_layouts_and_a_model_entry(tmp_path, state, audioset, new_layout):
    path = tmp_path / "mn01_as.pt"
    content = {"model": state, "sampler": {"order": np.arange(5)}, "iteration": 7}
    torch.save(content, path, _use_new_zipfile_serialization=new_layout)
    X, _ = make_clips(2)
    found = AudioTagger.from_checkpoint(str(path), verbose=0)
    np.testing.assert_array_equal(found.predict_proba(X), audioset.predict_proba(X))


def test_unknown_settings_are_an_error_that_lists_the_choices(tmp_path, state):
    path = tmp_path / "best.pt"
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"best.pt.*network=EfficientAT\(width=0.1, head='mlp'\)"):
        AudioTagger.from_checkpoint(path)
    found = AudioTagger.from_checkpoint(path, network=EfficientAT(width=0.1, hop_length=160))
    assert found.network_.hop_length == 160


def test_file_name_tells_the_hop(tmp_path, state):
    path = tmp_path / "mn01_as_hop_15_mAP_290.pt"
    torch.save(state, path)
    assert AudioTagger.from_checkpoint(path).stft_.hop_length == 480


def test_other_numbers_of_outputs_are_numbered_or_named(tmp_path):
    path = tmp_path / "mn01_as.pt"
    torch.save(NETWORK.build(3).state_dict(), path)
    assert AudioTagger.from_checkpoint(path).classes_.tolist() == [0, 1, 2]
    named = AudioTagger.from_checkpoint(path, classes=["a", "b", "c"])
    assert named.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"classes has 2 events, but .* 3 outputs"):
        AudioTagger.from_checkpoint(path, classes=["a", "b"])


def test_weights_of_no_known_network(tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"conv.weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"no known network.*conv.weight.*EfficientAT"):
        AudioTagger.from_checkpoint(path)
    with pytest.raises(ValueError, match="holds no EfficientAT"):
        AudioTagger.from_checkpoint(path, network=NETWORK)


def test_wrong_network(path):
    with pytest.raises(ValueError, match=r"do not fit this network.*features.0.0.weight"):
        AudioTagger.from_checkpoint(path, network=EfficientAT(width=1.5))


def test_constants_of_the_front_end_show_other_settings(tmp_path):
    network = PANNs(variant="cnn6", sample_rate=16000)
    state = network.build(2).state_dict()
    path = tmp_path / "Cnn6_16k_mAP=0.3.pth"
    torch.save({"model": state | {"logmel_extractor.melW": network._mel_filters()}}, path)
    assert AudioTagger.from_checkpoint(path).network_.sample_rate == 16000
    wrong = PANNs(variant="cnn6", sample_rate=32000)
    with pytest.raises(ValueError, match="was trained with sample_rate=16000, but this tagger has"):
        AudioTagger.from_checkpoint(path, network=wrong)
    X, y = make_clips(2)
    with pytest.raises(ValueError, match=r"init_from: .*was trained with sample_rate=16000"):
        AudioTagger(wrong, init_from=path, **SETTINGS).fit(X, y)


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        AudioTagger.from_checkpoint(tmp_path / "absent.pt")


def test_files_of_sktagger_are_read_by_load(audioset, tmp_path):
    audioset.map_classes({"a": "Speech"}).save(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"AudioTagger\.load reads it"):
        AudioTagger.from_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", list_models().index)
def test_settings_of_pretrained_models_are_those_of_networks(name):
    model = find_pretrained(name)
    network = NETWORKS[model.network](**model.settings)
    network.validate()
    state = {key: torch.zeros(x.shape) for key, x in network.shapes(527).items()}
    identified = type(network).identify(state, model.file_name)
    assert identified.get_params() == network.resolve().get_params()
    n_statistics = ("running_mean", "running_var", "num_batches_tracked")
    n = sum(x.numel() for key, x in network.shapes(527).items() if not key.endswith(n_statistics))
    assert n == pytest.approx(model.parameters, rel=0.02)


def test_from_pretrained(monkeypatch, tmp_path, state):
    path = tmp_path / find_pretrained("mn01_as").file_name
    torch.save(state, path)
    monkeypatch.setattr("sktagger.taggers._stored.fetch", lambda name, **_: path)
    tagger = AudioTagger.from_pretrained("mn01_as", device="cpu", verbose=0)
    assert tagger.network_.get_params() == NETWORK.get_params()
    assert tagger.device == "cpu"
    with pytest.raises(ValueError, match="mn01_as"):
        AudioTagger.from_pretrained("mn01_has")


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("use", ["from_pretrained", "init_from", "AudioEmbedding"])
def test_verbose_says_whether_a_download_shows_progress(
    path, server, monkeypatch, tmp_path, capsys, use, verbose
):
    monkeypatch.setenv("SKTAGGER_CACHE", str(tmp_path))
    serve_model(server, "mn01_as", path, monkeypatch)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X, y = make_clips(4)
    if use == "from_pretrained":
        AudioTagger.from_pretrained("mn01_as", verbose=verbose)
    elif use == "init_from":
        AudioTagger(init_from="mn01_as", **SETTINGS | {"verbose": verbose}).fit(X, y)
    else:
        AudioEmbedding("mn01_as", verbose=verbose).fit(X)
    assert server.paths == ["/mn01_as_mAP_298.pt"]
    assert ("Fetching mn01_as" in capsys.readouterr().err) == bool(verbose)


@pytest.mark.parametrize("params", [{"lr": "fast"}, {"learning_rate": 1}])
def test_nothing_is_fetched_for_faulty_parameters(path, server, monkeypatch, tmp_path, params):
    monkeypatch.setenv("SKTAGGER_CACHE", str(tmp_path))
    serve_model(server, "mn01_as", path, monkeypatch)
    with pytest.raises((TypeError, ValueError), match=next(iter(params))):
        AudioTagger.from_pretrained("mn01_as", **params)
    with pytest.raises((TypeError, ValueError), match=next(iter(params))):
        AudioTagger(init_from="mn01_as", **params).fit(*make_clips(4))
    assert server.paths == []


# own classes without training


def test_mapped_classes_have_the_scores_of_others(audioset):
    X, _ = make_clips(3)
    mapped = audioset.map_classes({"b": "Bark", "a": "Speech"})
    assert mapped.classes_.tolist() == ["b", "a"]
    columns = [audioset.classes_.tolist().index(name) for name in ("Bark", "Speech")]
    expected = audioset.predict_proba(X)[:, columns]
    np.testing.assert_allclose(mapped.predict_proba(X), expected, atol=1e-6)
    assert audioset.predict_proba(X).shape == (3, 527)


def test_mapped_classes_as_labels(audioset, tmp_path):
    X, _ = make_clips(3)
    mapped = audioset.map_classes({"b": "Bark", "a": "Speech"}, multilabel=False)
    scores = mapped.predict_proba(X)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    assert mapped.predict(X).tolist() == mapped.classes_[scores.argmax(1)].tolist()
    mapped.save(tmp_path / "mapped.safetensors")
    loaded = AudioTagger.load(tmp_path / "mapped.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), scores)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "must be a dict"),
        (["Bark"], "must be a dict"),
        ({"a": "Barkk"}, "'a' stands for 'Barkk'.*nearest: .*Bark"),
        ({"a": ["Bark", "Speech"]}, "no event of this tagger"),
        ({"a": "Bark", 3: "Speech"}, "as names only or as numbers only"),
    ],
)
def test_faulty_mappings(audioset, mapping, message):
    with pytest.raises(ValueError, match=message):
        audioset.map_classes(mapping)


# fine-tuning


def fine_tuned(path, **params):
    X, y = make_clips()
    return AudioTagger(init_from=path, **SETTINGS).set_params(**params).fit(X, y)


def test_network_is_that_of_the_source(path, audioset):
    X, y = make_clips()
    for source in (path, str(path), audioset, FrozenEstimator(audioset)):
        tagger = AudioTagger(init_from=source, **SETTINGS).fit(X, y)
        assert tagger.network is None
        assert tagger.network_.get_params() == NETWORK.get_params()
        assert tagger.classes_.tolist() == ["noise", "tone"]


def test_other_networks_are_refused(path):
    X, y = make_clips()
    with pytest.raises(ValueError, match=r"init_from: .* holds no WALNet"):
        WALNetTagger(init_from=path, **SETTINGS).fit(X, y)


def test_defaults_of_fine_tuning(path):
    tagger = fine_tuned(path)
    assert tagger.net_.lr == EfficientAT.fine_tuning["lr"]
    assert fine_tuned(path, lr=1e-3).net_.lr == 1e-3
    scratch = AudioTagger(EfficientAT(width=0.1), **SETTINGS)
    assert scratch._resolve("lr", NETWORK) == 2e-3
    assert scratch._resolve("head_init", NETWORK) == "random"
    assert not scratch._resolve("freeze_norms", NETWORK)


def statistics(tagger):
    state = tagger.module_.state_dict()
    return {key: x for key, x in state.items() if "running" in key}


@pytest.mark.parametrize("freeze_norms", ["auto", True, False])
def test_statistics_are_frozen(path, state, freeze_norms):
    tagger = fine_tuned(path, freeze_norms=freeze_norms)
    same = [torch.equal(x, state[key]) for key, x in statistics(tagger).items()]
    assert all(same) if freeze_norms else not any(same)
    weights = tagger.module_.state_dict()
    assert not torch.equal(
        weights["features.3.block.0.0.weight"], state["features.3.block.0.0.weight"]
    )


def test_statistics_of_walnet_can_be_frozen():
    X, y = make_clips(8)
    source = WALNetTagger(sample_rate=RATE, **SETTINGS).fit(X, y)
    tagger = WALNetTagger(sample_rate=RATE, init_from=source, freeze_norms=True, **SETTINGS)
    tagger.fit(X, y)
    before = source.module_.state_dict()
    for key, tensor in tagger.module_.state_dict().items():
        frozen = "running" in key or "num_tracked" in key or key.endswith("fbanks")
        assert torch.equal(tensor, before[key]) == frozen, key


def probe(path, X, y):
    embedding = AudioEmbedding(path, layer="hidden", precision="float32", verbose=0)
    E = StandardScaler().fit_transform(embedding.transform(X))
    return E, LogisticRegression(C=0.1, max_iter=1000).fit(E, y)


def test_head_starts_from_logistic_regressions(path):
    X, y = make_clips()
    tagger = fine_tuned(path, lr=1e-12, weight_decay=0)
    E, model = probe(path, X, y == "tone")
    module = tagger.module_.eval()
    tone = module(*make_stft(tagger.network_, X)).detach().numpy()[:, 1]
    np.testing.assert_allclose(tone, model.predict_proba(E)[:, 1], atol=5e-3)


def test_linear_fit_equals_scikit_learn():
    rng = np.random.default_rng(0)
    E = rng.standard_normal((40, 5)) * [1, 10, 0.1, 1, 1] + [0, 3, 0, 0, -2]
    Y = (E @ rng.standard_normal((5, 3)) > 0).astype(np.float32)
    weight, bias = fit_linear_head(E, Y, np.ones(40))
    scaled = StandardScaler().fit_transform(E)
    for k in range(3):
        model = LogisticRegression(C=0.1, max_iter=1000).fit(scaled, Y[:, k])
        expected = model.decision_function(scaled)
        np.testing.assert_allclose(E @ weight[k] + bias[k], expected, atol=1e-4)


def test_weights_of_the_linear_fit_count_copies():
    rng = np.random.default_rng(0)
    E, Y = rng.standard_normal((20, 3)), (rng.random((20, 1)) > 0.5).astype(float)
    weights = np.repeat([1.0, 3.0], 10)
    repeats = weights.astype(int)
    expected = fit_linear_head(np.repeat(E, repeats, 0), np.repeat(Y, repeats, 0), np.ones(40))
    for got, wanted in zip(fit_linear_head(E, Y, weights), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_soft_targets_of_the_linear_fit_are_shares_of_clips():
    E = np.random.default_rng(0).standard_normal((20, 3))
    soft = fit_linear_head(E, np.linspace(0.1, 0.9, 20)[:, None], np.ones(20))
    shares = np.concatenate([np.linspace(0.9, 0.1, 20), np.linspace(0.1, 0.9, 20)])
    hard = np.repeat([[0.0], [1.0]], 20, axis=0)
    expected = fit_linear_head(np.tile(E, (2, 1)), hard, shares)
    for got, wanted in zip(soft, expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_events_without_positives_or_negatives_get_a_constant():
    E = np.random.default_rng(0).standard_normal((9, 2))
    weight, bias = fit_linear_head(E, np.tile([0.0, 1.0], (9, 1)), np.ones(9))
    assert not weight.any()
    np.testing.assert_allclose(bias, [-np.log(19), np.log(19)], rtol=1e-6)


def test_event_weights_of_the_linear_fit():
    rng = np.random.default_rng(0)
    E, Y = rng.standard_normal((30, 2)), (rng.random((30, 1)) > 0.7).astype(float)
    weight, bias = fit_linear_head(E, Y, np.ones(30), np.array([[0.5], [4.0]]))
    scaled = StandardScaler().fit_transform(E)
    model = LogisticRegression(C=0.1, max_iter=1000)
    model.fit(scaled, Y[:, 0], np.where(Y[:, 0] > 0, 4.0, 0.5))
    np.testing.assert_allclose(E @ weight[0] + bias[0], model.decision_function(scaled), atol=1e-4)


def test_known_events_keep_their_rows_of_a_random_head(audioset, state):
    X, y = make_clips()
    y = np.where(y == "tone", "Bark", "noise")
    tagger = AudioTagger(init_from=audioset, head_init="random", **SETTINGS)
    tagger.set_params(lr=1e-12, weight_decay=0).fit(X, y)
    row = audioset.classes_.tolist().index("Bark")
    got = tagger.module_.classifier["5"].weight
    np.testing.assert_allclose(got[0].detach(), state["classifier.5.weight"][row], atol=1e-6)
    assert not torch.allclose(got[1], state["classifier.5.weight"][row])


def test_linear_fit_is_of_all_events(audioset):
    """Names of AudioSet's events change nothing."""
    X, y = make_clips()
    tagger = AudioTagger(init_from=audioset, **SETTINGS).set_params(lr=1e-12, weight_decay=0)
    expected = tagger.fit(X, np.where(y == "tone", "a", "b")).predict_proba(X)
    for names in (("Bark", "Cat"), ("Bark", "noise")):
        got = tagger.fit(X, np.where(y == "tone", *names)).predict_proba(X)
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("head_init", "kept"), [("auto", True), ("linear", False)])
def test_head_is_kept_if_the_events_stay_the_same(path, head_init, kept):
    X, y = make_clips()
    tagger = AudioTagger(init_from=path, **SETTINGS).fit(X, y)
    going_on = AudioTagger(init_from=tagger, head_init=head_init, **SETTINGS)
    going_on.set_params(lr=1e-12, weight_decay=0).fit(X, y)
    change = np.abs(going_on.predict_proba(X) - tagger.predict_proba(X)).max()
    assert (change < 1e-6) == kept


def test_fitted_head_can_be_the_best(path):
    """With a rate that destroys the head, the linear fit wins the validation."""
    X, y = make_clips()
    tagger = AudioTagger(init_from=path, freeze="backbone", **SETTINGS)
    tagger.set_params(lr=30.0, schedule="constant")  # the whole network would diverge
    tagger.fit(X, y, X_val=X, Y_val=y)
    history = tagger.history_
    assert history["valid_mAP_best"].tolist()[0]
    assert tagger.score(X, y) == history["valid_mAP"].max()


def test_fitted_head_that_is_the_best_is_in_the_checkpoint(path, tmp_path):
    X, y = make_clips()
    params = {"freeze": "backbone", "lr": 30.0, "schedule": "constant", "max_epochs": 2}
    for _ in range(2):  # the second time, the training has ended
        tagger = AudioTagger(init_from=path, callbacks=[Checkpoint(tmp_path)], **SETTINGS)
        tagger.set_params(**params).fit(X, y, X_val=X, Y_val=y)
        best = AudioTagger.load(tmp_path)
        np.testing.assert_array_equal(best.predict_proba(X), tagger.predict_proba(X))
        assert tagger.history_["valid_mAP_best"].iloc[0]
        assert tagger.score(X, y) == tagger.history_["valid_mAP"].max()


def test_linear_head_needs_pooled_embeddings():
    X, y = make_clips(4)
    with pytest.raises(
        ValueError, match="head_init='linear', but the head of a TinyNet scores seg"
    ):
        AudioTagger(TinyNet(rate=RATE), head_init="linear", **SETTINGS).fit(X, y)


def test_backbone_can_be_frozen(path, state):
    weights = fine_tuned(path, freeze="backbone").module_.state_dict()
    changed = {key for key in weights if key in state and not torch.equal(weights[key], state[key])}
    assert {key for key in changed if not key.startswith("classifier.5")} == set()


def test_fine_tuned_tagger_is_saved_loaded_pickled_and_tagged(path, tmp_path, state):
    X, y = make_clips()
    source = tmp_path / "mn01_as.pt"
    torch.save(state, source)
    tagger = fine_tuned(source)
    source.unlink()  # the source is not needed any more
    scores = tagger.predict_proba(X)
    tagger.save(tmp_path / "own.safetensors")
    loaded = AudioTagger.load(tmp_path / "own.safetensors")
    np.testing.assert_array_equal(loaded.predict_proba(X), scores)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tagger)).predict_proba(X), scores)
    assert set(tagger.predict(X)) <= {"noise", "tone"}
    again = AudioTagger(init_from=tmp_path / "own.safetensors", **SETTINGS).fit(X, y)
    assert again.network_.get_params() == NETWORK.get_params()


def test_cross_validation_search_and_thresholds(path):
    X, y = make_clips()
    Y = pd.DataFrame({"noise": y == "noise", "tone": y == "tone"}).astype(int)
    tagger = AudioTagger(init_from=path, **SETTINGS)
    assert cross_val_score(tagger, X, Y, scoring=map_scorer, cv=2).shape == (2,)
    search = GridSearchCV(tagger, {"freeze": [None, "backbone"]}, scoring=map_scorer, cv=2)
    assert len(search.fit(X, Y).predict_proba(X)) == len(X)
    TunedThresholdTagger(clone(tagger), cv=2).fit(X, Y).predict(X)


def test_partial_fit_and_warm_start(path):
    X, y = make_clips()
    tagger = AudioTagger(init_from=path, warm_start=True, **SETTINGS)
    tagger.partial_fit(X, y)
    n_iter = tagger.n_iter_
    tagger.fit(X, y)
    assert tagger.n_iter_ == 2 * n_iter


# dropout


def test_dropout_is_drawn_from_its_own_seed():
    dropout = Dropout(0.5)
    x = torch.ones(1000)
    dropout.seed = 3
    first = dropout(x)
    assert torch.equal(first, dropout(x))
    assert set(first.tolist()) == {0.0, 2.0}
    assert 400 < first.count_nonzero() < 600
    dropout.seed = 4
    assert not torch.equal(first, dropout(x))
    assert dropout.eval()(x) is x


def test_dropout_changes_from_batch_to_batch():
    module = NETWORK.build(2).train()
    (dropout,) = [part for part in module.modules() if isinstance(part, Dropout)]
    seeds = []
    for step in range(3):
        module.seed_dropout(7, 0, step)
        seeds.append(dropout.seed)
    module.seed_dropout(7, 0, 1)
    assert len(set(seeds)) == 3
    assert dropout.seed == seeds[1]


def test_same_seed_gives_the_same_training(path):
    X, _ = make_clips(4)
    first, second = (fine_tuned(path, max_epochs=2).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_interrupted_training_continues_with_the_same_dropout(path, tmp_path):
    X, _ = make_clips()
    whole = fine_tuned(path, max_epochs=2).predict_proba(X)

    class Stop(Checkpoint):
        def on_epoch_end(self, net, **kwargs):
            super().on_epoch_end(net, **kwargs)
            if net.history[-1]["n_epochs"] == 1:
                raise KeyboardInterrupt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fine_tuned(path, max_epochs=2, callbacks=[Stop(tmp_path / "c")])
        tagger = fine_tuned(path, max_epochs=2, callbacks=[Checkpoint(tmp_path / "c")])
    np.testing.assert_array_equal(tagger.predict_proba(X), whole)


# the public weights


def test_public_weights_know_their_classes():
    tagger = AudioTagger.from_checkpoint(find_model("mn04_as_mAP_432.pt"), verbose=0)
    time = np.arange(5 * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * time).astype(np.float32)
    silence = np.zeros(5 * RATE, np.float32)
    best = tagger.classes_[tagger.predict_proba([tone, silence]).argmax(1)]
    assert best[0] in ("Dial tone", "Sine wave", "Busy signal", "Tuning fork", "Beep, bleep")
    assert best[1] == "Silence"
