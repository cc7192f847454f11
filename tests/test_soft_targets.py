"""Training on targets between 0 and 1: loss, weights, mixtures, folds, validation, checkpoints."""

import numpy as np
import pandas as pd
import pytest
import torch
from _networks import TinyNet
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning
from skorch.callbacks import Callback

from sktagger import AudioTagger, Augmentation, ThresholdTuner, TunedThresholdTagger
from sktagger.model_selection import MultilabelStratifiedGroupKFold
from sktagger.training.callbacks import Checkpoint

SETTINGS = {"batch_size": 12, "max_epochs": 1, "random_state": 0, "verbose": 0}
EVENTS = ["rain", "siren", "dog"]


@pytest.fixture(scope="module")
def data():
    """Twelve clips and their soft targets, of which a few are 0 or 1."""
    rng = np.random.default_rng(0)
    soft = rng.random((12, 3)).round(2)
    soft[:3] = np.eye(3)
    return rng.standard_normal((12, 500)), pd.DataFrame(soft, columns=EVENTS)


@pytest.fixture(scope="module")
def teacher(data):
    X, Y = data
    return make_tagger(max_epochs=5, lr=0.05).fit(X, Y.round().astype(int))


def make_tagger(**settings):
    return AudioTagger(TinyNet(), **SETTINGS | settings)


def first_loss(teacher, X, Y, sample_weight=None, **settings):
    """Return the loss of the teacher's scores: that of the only batch of a training."""
    fixed = {"init_from": teacher, "freeze": "backbone", "augmentation": None}
    tagger = make_tagger(**fixed, **{"batch_size": len(X)} | settings)
    return tagger.fit(X, Y, sample_weight=sample_weight).history_["train_loss"].iloc[-1]


def weights(tagger):
    return torch.cat([p.detach().flatten() for p in tagger.module_.state_dict().values()])


def test_loss_is_the_binary_cross_entropy(data, teacher):
    X, Y = data
    y, p = Y.to_numpy(), teacher.predict_proba(X).astype(float)
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1).mean()
    assert first_loss(teacher, X, Y) == pytest.approx(expected, rel=1e-5)


def test_weights_of_events_multiply_the_two_terms_of_the_loss(data, teacher):
    X, Y = data
    y, p = Y.to_numpy(), teacher.predict_proba(X).astype(float)
    present = [1, 5, 1]
    expected = -(present * y * np.log(p) + (1 - y) * np.log(1 - p)).sum(axis=1).mean()
    loss = first_loss(teacher, X, Y, class_weight={"siren": 5})
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("class_weight", [None, "balanced", {"dog": 3.0}])
def test_soft_clip_counts_like_clips_with_and_without_the_event(data, teacher, class_weight):
    X, Y = data
    Y = Y[["rain"]]
    twice = pd.DataFrame({"rain": [1] * 12 + [0] * 12})
    share = np.concatenate([Y["rain"], 1 - Y["rain"]])
    settings = {"class_weight": {"rain": 3.0} if isinstance(class_weight, dict) else class_weight}
    hard = first_loss(teacher, np.concatenate([X, X]), twice, share, **settings)
    assert first_loss(teacher, X, Y, **settings) == pytest.approx(hard, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"class_weight": "balanced"}, {"sampler": "balanced"}])
def test_floats_of_0_and_1_train_the_same_weights_as_integers(data, settings):
    X, Y = data
    Y = Y.round().astype(int)
    settings["batch_size"] = 4
    expected = weights(make_tagger(**settings).fit(X, Y))
    for same in (Y.astype(float), Y.astype("float32"), Y.astype(bool)):
        assert torch.equal(weights(make_tagger(**settings).fit(X, same)), expected)


def test_forms_of_soft_targets_train_the_same_weights(data):
    X, Y = data
    expected = make_tagger().fit(X, Y)
    assert expected.classes_.tolist() == EVENTS
    assert expected._multilabel
    for same in (Y.to_numpy(), Y.to_numpy().tolist(), sparse.csr_array(Y.to_numpy())):
        tagger = make_tagger().fit(X, same)
        assert tagger.classes_.tolist() == [0, 1, 2]
        assert torch.equal(weights(tagger), weights(expected))


def test_scores_become_the_targets():
    loud = np.arange(12) % 2
    X = np.random.default_rng(0).standard_normal((12, 500)) * (0.05 + loud[:, np.newaxis])
    soft = np.where(loud[:, np.newaxis], [0.9, 0.2], [0.3, 0.6])
    tagger = make_tagger(max_epochs=60, lr=0.05, augmentation=None).fit(X, soft)
    np.testing.assert_allclose(tagger.predict_proba(X), soft, atol=0.08)
    assert tagger.score(X, (soft > 0.5).astype(int)) == 1


def test_student_learns_from_scores_what_it_learns_from_labels():
    rng = np.random.default_rng(0)
    Y = pd.DataFrame(rng.integers(0, 2, (90, 2)), columns=["hum", "whistle"])
    tones = np.sin(2 * np.pi * np.arange(500) * np.array([[0.05], [0.4]]))
    X = Y.to_numpy() @ tones + 0.3 * rng.standard_normal((90, 500))
    settings = {"max_epochs": 30, "lr": 0.05, "augmentation": None}
    teacher = make_tagger(**settings | {"lr": 0.005}).fit(X[:24], Y[:24])
    scores = pd.DataFrame(teacher.predict_proba(X[24:60]), columns=teacher.classes_)
    assert (scores - scores.round()).abs().to_numpy().mean() > 0.1  # not just labels
    by_labels = make_tagger(**settings).fit(X[24:60], Y[24:60])
    by_scores = make_tagger(**settings).fit(X[24:60], scores)
    untrained = make_tagger(lr=1e-9).fit(X[24:60], scores)
    new, right = X[60:], Y[60:]
    assert untrained.score(new, right) < 0.9
    assert by_labels.score(new, right) > 0.99
    assert by_scores.score(new, right) > 0.99


def test_mixture_has_the_greater_targets():
    class Seen(Callback):
        events = ()

        def on_batch_begin(self, net, batch, training, **kwargs):
            self.events = {*self.events, *map(tuple, batch[1].tolist())}

    seen = Seen()
    X = np.random.default_rng(0).standard_normal((2, 500))
    Y = np.array([[0.25, 0.75], [0.5, 0.125]])
    augmentation = Augmentation(mixup_prob=1, final_weak_fraction=0)
    make_tagger(augmentation=augmentation, max_epochs=5, callbacks=[seen]).fit(X, Y)
    assert (0.5, 0.75) in seen.events
    assert seen.events <= {(0.5, 0.75), (0.25, 0.75), (0.5, 0.125)}


def test_partial_fit_takes_soft_targets_by_name(data):
    X, Y = data
    tagger = make_tagger().partial_fit(X, Y)
    reordered = make_tagger().partial_fit(X, Y[EVENTS[::-1]], classes=EVENTS)
    assert torch.equal(weights(tagger), weights(reordered))
    assert tagger.partial_fit(X, Y[EVENTS[::-1]]).n_iter_ == 2
    with pytest.raises(ValueError, match=r"clip 0 has 3\.0 for the event 'rain'"):
        tagger.partial_fit(X, 3 * Y)


def test_cross_fit_splits_soft_targets(data):
    X, Y = data
    tagger = make_tagger(cross_fit=3)
    scores = tagger.fit_transform(X, Y)
    for train, test in MultilabelStratifiedGroupKFold(3).split(X, Y):
        fold = make_tagger().fit(X[train], Y.iloc[train])
        np.testing.assert_array_equal(scores[test], fold.predict_proba(X[test]))
    assert torch.equal(weights(tagger), weights(make_tagger().fit(X, Y)))


def test_soft_targets_are_not_held_out_for_validation(data):
    X, Y = data
    message = (
        r"validation_fraction=0.25 holds out .* y has 0.\d+ for clip 3 and the event 'rain'\. "
        "Pass X_val and Y_val, or set validation_fraction=None"
    )
    with pytest.raises(ValueError, match=message):
        make_tagger(validation_fraction=0.25).fit(X, Y)
    Y = Y.copy()
    Y.iloc[:8] = [[1, 1, 1], [0, 0, 0]] * 4
    used = np.arange(12) < 8
    tagger = make_tagger(validation_fraction=0.5).fit(X, Y, sample_weight=used)
    assert tagger.history_["valid_mAP"].notna().all()


def test_validation_needs_0_and_1(data):
    X, Y = data
    hard = Y.round().astype(int)
    tagger = make_tagger().fit(X, Y, X_val=X, Y_val=hard)
    assert tagger.history_["valid_mAP"].notna().all()
    message = r"Y_val: clip 3 has 0.\d+ for the event 'rain'\. .*validation mAP.*Threshold"
    with pytest.raises(ValueError, match=message):
        make_tagger().fit(X, Y, X_val=X, Y_val=Y)


def test_scores_and_thresholds_need_0_and_1(data, teacher):
    X, Y = data
    message = r"y: clip 3 has 0.\d+ for the event 'rain'.*0 and 1 only.*Threshold soft labels"
    with pytest.raises(ValueError, match=message):
        teacher.score(X, Y)
    with pytest.raises(ValueError, match=message):
        ThresholdTuner().fit(teacher.predict_proba(X), Y)
    with pytest.raises(ValueError, match=message):
        TunedThresholdTagger(make_tagger(), cv=2).fit(X, Y)


def test_event_that_is_always_0_causes_a_warning(data):
    X, Y = data
    with pytest.warns(UndefinedMetricWarning, match="1 of 3 events occur in no clip.*: siren"):
        make_tagger().fit(X, Y.assign(siren=0.0))


def test_checkpoint_belongs_to_its_soft_targets(data, tmp_path):
    X, Y = data
    make_tagger(callbacks=[Checkpoint(tmp_path)]).fit(X, Y)
    changed = Y.copy()
    changed.loc[5, "dog"] /= 2
    with pytest.warns(UserWarning, match="1 of 12 training clips' events or weights differ"):
        make_tagger(callbacks=[Checkpoint(tmp_path)]).fit(X, changed)


def test_checkpoint_of_integers_is_that_of_floats(data, tmp_path):
    X, Y = data
    hard = Y.round()
    make_tagger(callbacks=[Checkpoint(tmp_path)]).fit(X, hard.astype(int))
    resumed = make_tagger(callbacks=[Checkpoint(tmp_path, on_mismatch="raise")]).fit(X, hard)
    assert resumed.n_iter_ == 1
