"""Anything may be in a file: what is read is right, or an error that names the file.

``--hypothesis-profile=long`` tries many more examples.
"""

import copy
import io
import json
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sktagger import ThresholdTuner, WALNetTagger, load_database
from sktagger.audio.augmentation import Augmentation
from sktagger.audio.reading import Section, audio_info, read_audio, resampled_length
from sktagger.audio.spectral import STFTSizes
from sktagger.batching.plans import TrainingPlan, plain_example
from sktagger.training.callbacks import load_checkpoint, save_checkpoint

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "aiff": ("AIFF", "PCM_24"),
    "au": ("AU", "ULAW"),
}


def effort(share):
    """Settings of a test that takes its share of the profile's number of examples."""
    return settings(max_examples=max(1, round(share * settings.default.max_examples)))


@st.composite
def mutated(draw, content):
    """Bytes with a few changes: some replaced, cut out, or put in, mostly near the beginning."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        end = draw(st.sampled_from([16, 64, len(content)]))
        place = draw(st.integers(0, min(end, len(content))))
        new = draw(st.binary(max_size=8) | st.sampled_from([b"\xff" * 4, b"\x00" * 4, b"\x7f"]))
        n_cut = draw(st.sampled_from([0, len(new), len(new), 4, len(content)]))
        content[place : place + n_cut] = new
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzing")


@pytest.fixture(scope="module")
def recordings():
    """Content of a short file in each format."""
    contents = {}
    for name, (kind, subtype) in FORMATS.items():
        samples = np.random.default_rng(0).uniform(-0.5, 0.5, (600, 2))
        file = io.BytesIO()
        soundfile.write(file, samples, 8000, format=kind, subtype=subtype)
        contents[name] = file.getvalue()
    return contents


@contextmanager
def right_or_named(path):
    """Take an error for an answer, if it names the file."""
    try:
        yield
    except ValueError as error:
        if str(path) not in str(error):
            raise AssertionError(f"{path} is not named") from error


def check_audio(path, section, sample_rate):
    with right_or_named(path):
        n_samples, orig_sr = audio_info(section)
        expected = resampled_length(n_samples, orig_sr, sample_rate)
        if expected > 1_000_000:  # the header lies of hours
            return
        waveform = read_audio(section, sample_rate)
        assert waveform.dtype == np.float32
        assert waveform.shape[1] == expected
        assert np.isfinite(waveform).all()


@effort(1.5)
@given(data=st.data())
def test_damaged_audio_is_read_or_named(folder, recordings, data):
    name = data.draw(st.sampled_from(list(FORMATS)))
    path = folder / name
    path.write_bytes(data.draw(mutated(recordings[name])))
    start, stop = data.draw(st.sampled_from([(None, None), (100, None), (None, 500), (7, 90)]))
    check_audio(path, Section(str(path), start, stop), data.draw(st.sampled_from([8000, 11025])))


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_audio_is_read_or_named(folder, recordings, name):
    path = folder / name
    content = recordings[name]
    for n_bytes in [*range(0, 120, 3), *np.linspace(120, len(content), 20).astype(int)]:
        path.write_bytes(content[:n_bytes])
        check_audio(path, Section(str(path)), 8000)


bounds = st.none() | st.integers(-3, 700)


@effort(1)
@given(start=bounds, stop=bounds)
def test_sections_hold_their_samples_or_are_named(folder, recordings, start, stop):
    path = folder / "whole.wav"
    path.write_bytes(recordings["wav"])
    inside = 0 <= (start or 0) < (600 if stop is None else stop) <= 600
    section = Section(str(path), start, stop)
    if not inside:
        with pytest.raises(ValueError, match=r"whole\.wav.*not inside the file"):
            read_audio(section, 8000)
        return
    whole = read_audio(Section(str(path)), 8000)
    np.testing.assert_array_equal(read_audio(section, 8000), whole[:, start:stop])


DATABASE = {
    "datasets": {
        "balanced_train": {
            "clip_1": {"audio_path": "a.wav", "audio_length": 10.0, "events": ["Rain", "Siren"]},
            "clip_2": {"audio_path": "/b.wav", "audio_start_samples": 4, "events": [], "fold": 1},
        },
        "eval": {
            "clip_3": {"audio_path": "c", "audio_stop_samples": 9, "events": ["Rain"], "x": None}
        },
    }
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(node, place=()):
    """Give the path of keys to every value of a JSON tree."""
    yield place
    if isinstance(node, dict | list):
        for key, child in node.items() if isinstance(node, dict) else enumerate(node):
            yield from places(child, (*place, key))


@st.composite
def nearly_databases(draw):
    """A database in which a few values are others, gone, or renamed."""
    content = [copy.deepcopy(DATABASE)]
    for _ in range(draw(st.integers(1, 3))):
        *parents, key = draw(st.sampled_from(list(places(content))[1:]))
        node = content
        for parent in parents:
            node = node[parent]
        change = draw(st.sampled_from(["value", "gone", "renamed"]))
        if change == "value" or node is content:
            node[key] = draw(json_values)
        elif change == "renamed" and isinstance(node, dict):
            node[draw(st.text(max_size=5))] = node.pop(key)
        else:
            del node[key]
    return content[0]


def check_database(path):
    with right_or_named(path):
        db = load_database(path)
        for name in db.datasets:
            with right_or_named(path):  # events unknown in training, or no clips
                X, Y = db.to_xy(name)
                assert len(X) == len(Y) == len(db.table(name))
                assert Y.columns.is_unique


@effort(1.5)
@given(content=nearly_databases())
def test_nearly_a_database_is_read_or_named(folder, content):
    path = folder / "nearly.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    check_database(path)


@effort(1)
@given(content=mutated(json.dumps(DATABASE).encode()))
def test_damaged_database_is_read_or_named(folder, content):
    path = folder / "damaged.json"
    path.write_bytes(content)
    check_database(path)


@st.composite
def scores_and_labels(draw):
    """Few or many clips and events, with ties, constants and events without positives."""
    n_clips, n_events = draw(st.sampled_from([1, 2, 3, 10, 60])), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    Y = (rng.random((n_clips, n_events)) < draw(st.sampled_from([0, 0.1, 0.5, 1]))).astype(int)
    S = rng.normal(size=Y.shape) + draw(st.sampled_from([0, 2])) * Y
    S = S * draw(st.sampled_from([1e-30, 1e-3, 1, 1e30]))
    if draw(st.booleans()):
        S = np.round(S, 1) + 0.0
    if draw(st.booleans()):
        S = S.astype(np.float32)
    return S, Y


@effort(0.7)
@given(
    scores_and_labels(),
    st.sampled_from(["expected", "best"]),
    st.sampled_from(["f1", "fbeta", "error_rate"]),
)
def test_thresholds_of_any_scores(pair, strategy, metric):
    S, Y = pair
    tuner = ThresholdTuner(strategy=strategy, metric=metric).fit(S, Y)
    allowed = np.isfinite(tuner.thresholds_) | (tuner.thresholds_ == -np.inf)
    assert allowed.all()
    assert tuner.thresholds_.shape == (Y.shape[1],)
    np.testing.assert_array_equal(tuner.predict(S), tuner.thresholds_ < S)
    if strategy == "expected" and len(np.unique(S)) < S.size:
        return  # equal scores are spread in the order of the clips
    order = np.random.default_rng(0).permutation(len(S))
    again = ThresholdTuner(strategy=strategy, metric=metric).fit(S[order], Y[order]).thresholds_
    np.testing.assert_allclose(again, tuner.thresholds_, rtol=1e-5, atol=1e-6 * np.abs(S).max())


SIZES = STFTSizes(n_fft=64, hop_length=20, win_length=40)


@effort(0.5)
@given(
    lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    batch_size=st.integers(1, 7),
    augmentation=st.sampled_from([None, Augmentation(mixup_prob=0.5)]),
    seed=st.integers(0, 2**31),
)
def test_epoch_of_any_clips_holds_each_once(lengths, batch_size, augmentation, seed):
    plan = TrainingPlan(np.array(lengths), SIZES, 1000, batch_size, augmentation, 128, seed)
    for _ in range(2):
        batches = list(plan.take(n_epochs=1))
        first = [example.parts[0].index for batch in batches for example in batch]
        assert sorted(first) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= batch_size for batch in batches)
        for example in (example for batch in batches for example in batch):
            ends = [
                part.onset + (part.draw or plain_example(0, lengths[part.index], SIZES)).n_frames
                for part in example.parts
            ]
            assert example.n_frames == max(ends)
            assert min(part.onset for part in example.parts) == 0


@pytest.fixture(scope="module")
def saved(folder):
    """A saved tagger, cut into its header and its tensors."""
    X = np.random.default_rng(0).standard_normal((2, 2000))
    path = folder / "tagger"
    tagger = WALNetTagger(sample_rate=8000, max_epochs=1, augmentation=None, random_state=0)
    tagger.fit(X, [["a"], ["b"]]).save(path)
    content = path.read_bytes()
    n_header = 8 + int.from_bytes(content[:8], "little")
    return content[:n_header], content[n_header:]


@effort(0.4)
@given(data=st.data())
def test_damaged_tagger_is_loaded_or_named(folder, saved, data):
    header, tensors = saved
    path = folder / "damaged"
    path.write_bytes(data.draw(mutated(header)) + tensors)
    with right_or_named(path):
        tagger = WALNetTagger.load(path)
        scores = tagger.predict_proba([np.ones(2000)])
        assert scores.shape == (1, len(tagger.classes_))


save_legacy = partial(torch.save, _use_new_zipfile_serialization=False)


@pytest.fixture(
    scope="module",
    params=[save_checkpoint, torch.save, save_legacy],
    ids=["present", "earlier", "before PyTorch 1.6"],
)
def checkpoint(folder, request):
    content = {"format": 1, "model": {"x": torch.ones(3)}, "history": [{"n_iterations": 1}]}
    request.param(content, folder / "whole")
    return (folder / "whole").read_bytes()


def test_empty_checkpoint_is_named(folder):
    (folder / "empty.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pt.*damaged"):
        load_checkpoint(folder / "empty.pt")


@effort(0.5)
@given(data=st.data())
def test_damaged_checkpoint_is_loaded_or_named(folder, checkpoint, data):
    path = folder / "damaged.pt"
    path.write_bytes(data.draw(mutated(checkpoint)))
    with right_or_named(path):
        load_checkpoint(path)
