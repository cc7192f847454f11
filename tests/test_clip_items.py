"""Every form of a single clip."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sktagger.audio._clip_items import Waveform, has_channels_last, is_missing, read_item, short
from sktagger.audio.clips import Gap
from sktagger.audio.reading import MemoryFile, Section, read_audio

WHERE = "X: clip 3"
SAMPLES = np.linspace(-0.5, 0.5, 100)


@pytest.fixture
def path(write_audio, sine):
    return write_audio("a.wav", sine(0.1, 8000), 8000)


@pytest.mark.parametrize(
    "form",
    [str, Path, os.fsencode, np.str_, lambda path: np.bytes_(os.fsencode(path))],
    ids=["str", "Path", "bytes", "numpy str", "numpy bytes"],
)
def test_paths(form):
    section = read_item(form("ä/b.wav"), WHERE)
    assert section == Section("ä/b.wav")
    assert type(section.path) is str


FILES = {
    "bytes": lambda path: Path(path).read_bytes(),
    "bytearray": lambda path: bytearray(Path(path).read_bytes()),
    "memoryview": lambda path: memoryview(Path(path).read_bytes()),
    "BytesIO": lambda path: io.BytesIO(Path(path).read_bytes()),
    "open file": lambda path: open(path, "rb"),  # noqa: SIM115
    "MemoryFile": lambda path: MemoryFile(Path(path).read_bytes(), "a"),
    "SoundFile": soundfile.SoundFile,
    "SoundFile of BytesIO": lambda path: soundfile.SoundFile(io.BytesIO(Path(path).read_bytes())),
    "Hugging Face, not decoded": lambda path: {"bytes": Path(path).read_bytes(), "path": "a"},
    "Hugging Face, on a disk": lambda path: {"bytes": None, "path": path},
    "record": lambda path: {"path": path},
}


@pytest.mark.parametrize("form", FILES)
def test_files_in_memory_and_open_files(path, form):
    file = FILES[form](path)
    try:
        section = read_item(file, WHERE)
    finally:
        if hasattr(file, "close"):
            file.close()
    np.testing.assert_array_equal(read_audio(section, 8000), read_audio(Section(path), 8000))


def test_an_open_file_is_read_as_a_whole_and_stays_where_it_was(path):
    content = Path(path).read_bytes()
    file = io.BytesIO()
    file.write(content)
    for _ in range(2):
        assert read_item(file, WHERE) == Section(MemoryFile(content, "<X: clip 3>"))
        assert file.tell() == len(content)


def test_a_section_of_a_file_in_memory(path):
    content = Path(path).read_bytes()
    section = read_item((io.BytesIO(content), 100, 500), WHERE)
    np.testing.assert_array_equal(
        read_audio(section, 8000), read_audio(Section(path, 100, 500), 8000)
    )


def test_a_file_in_memory_is_named_by_its_clip_or_its_own_name(path):
    assert repr(read_item(bytearray(b"x"), WHERE).path) == "<X: clip 3>"
    with open(path, "rb") as file:
        assert repr(read_item(file, WHERE).path) == repr(path)


def test_a_file_opened_as_text_is_refused(path):
    with open(path) as file, pytest.raises(TypeError, match=r"clip 3 is a file opened as text.*rb"):
        read_item(file, WHERE)
    with pytest.raises(TypeError, match="opened as text"):
        read_item(io.StringIO("RIFF"), WHERE)


def test_a_file_that_is_closed_cannot_be_read():
    file = io.BytesIO(b"RIFF")
    file.close()
    gap = read_item(file, WHERE)
    assert isinstance(gap, Gap)
    assert "clip 3 is an open file that cannot be read" in gap.cause
    assert gap.error is ValueError


@pytest.mark.parametrize(
    "clip",
    [
        ("a.wav", 16000, None),
        ["a.wav", np.int64(16000), np.nan],
        ("a.wav", 16000.0, pd.NA),
        (Path("a.wav"), np.float32(16000), pd.NaT),
        (b"a.wav", torch.tensor(16000), ""),
        Section("a.wav", 16000),
        {"path": "a.wav", "start": 16000.0, "stop": None},
        {"audio_path": "a.wav", "start": 16000},
    ],
)
def test_bounds_of_sections(clip):
    section = read_item(clip, WHERE)
    assert section == Section("a.wav", 16000, None)
    assert type(section.path) is str
    assert type(section.start) is int


def test_a_path_alone_in_a_tuple():
    assert read_item(("a.wav",), WHERE) == Section("a.wav")


@pytest.mark.parametrize(
    "bounds", [(0.5, 2.25), (1,), ("0", "5"), (True, None), (np.inf, None), (1, 2, 3)]
)
def test_bounds_that_are_no_samples_are_refused(bounds):
    with pytest.raises(ValueError, match=r"clip 3 is .*start and stop integers \(samples.*seconds"):
        read_item(("a.wav", *bounds), WHERE)


MISSING = [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, "", b"", (None, 0, 5), (np.nan,)]


@pytest.mark.parametrize("clip", MISSING)
def test_missing_clips(clip):
    gap = read_item(clip, WHERE)
    assert isinstance(gap, Gap)
    assert gap.cause.startswith("X: clip 3 is ")


@pytest.mark.parametrize("value", [0, 0.0, " ", "nan", (), [], np.zeros(1), False])
def test_what_is_not_missing(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    "form",
    [
        np.asarray,
        list,
        pd.Series,
        torch.tensor,
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: np.ma.array(x),
    ],
    ids=["array", "list", "Series", "tensor", "tensor with gradient", "array without gaps"],
)
def test_waveforms(form):
    clip = read_item(form(SAMPLES), WHERE)
    assert clip.rate is None
    np.testing.assert_allclose(clip.samples, SAMPLES, rtol=1e-7)


def test_tensors_of_bfloat16():
    clip = read_item(torch.tensor([0.5, -1.0] * 20, dtype=torch.bfloat16), WHERE)
    np.testing.assert_array_equal(clip.samples, [0.5, -1.0] * 20)


@pytest.mark.parametrize(
    ("form", "rate"),
    [
        (lambda x: (x, 22050), 22050),
        (lambda x: [x, np.int64(22050)], 22050),
        (lambda x: (x, 22050.0), 22050),
        (lambda x: (22050, x), 22050),
        (lambda x: (torch.from_numpy(x), torch.tensor(22050)), 22050),
        (lambda x: (list(x), 22050), 22050),
        (lambda x: {"array": x, "sampling_rate": 22050}, 22050),
        (lambda x: {"path": "a.wav", "array": x, "sampling_rate": 22050}, 22050),
        (lambda x: {"waveform": torch.from_numpy(x), "sample_rate": 22050}, 22050),
        (lambda x: {"raw": x, "sampling_rate": 22050}, 22050),
    ],
)
def test_waveforms_with_their_rates(form, rate):
    clip = read_item(form(SAMPLES), WHERE)
    assert clip.rate == rate
    np.testing.assert_array_equal(clip.samples, SAMPLES)


@pytest.mark.parametrize("rate", [3, 0, -8000, 22050.5, True, np.inf])
def test_a_number_beside_an_array_that_is_no_rate(rate):
    with pytest.raises(ValueError, match=r"clip 3 is a pair of an array and .* sample rate"):
        read_item((SAMPLES, rate), WHERE)


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((8000,), False),
        ((1, 8000), False),
        ((2, 8000), False),
        ((32, 33), False),
        ((1, 5), False),
        ((1, 1), False),
        ((8000, 1), True),
        ((8000, 2), True),
        ((33, 32), True),
        ((5, 1), True),
    ],
)
def test_which_axis_holds_the_channels(shape, last):
    assert has_channels_last(shape, WHERE) is last


@pytest.mark.parametrize("shape", [(2, 2), (2, 32), (32, 5), (33, 33), (8000, 64), (128, 500)])
def test_shapes_that_do_not_say_which_axis_holds_the_channels(shape):
    with pytest.raises(ValueError, match=rf"clip 3 .*shape \({shape[0]}, {shape[1]}\)"):
        read_item(np.zeros(shape), WHERE)


def test_channels_come_first_in_the_end():
    stereo = np.stack([SAMPLES, -SAMPLES])
    for clip in (stereo, stereo.T, stereo.tolist(), torch.from_numpy(stereo.T)):
        np.testing.assert_array_equal(read_item(clip, WHERE).samples, stereo)
    assert read_item(stereo.T, WHERE).shape == (100, 2)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", ">i2", "i4", "i8"])
def test_types_of_samples(dtype):
    clip = read_item(np.array([0, 1, -1], dtype=dtype), WHERE)
    assert isinstance(clip, Waveform)
    assert clip.samples.dtype == dtype


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("u1", r"uint8.*astype\('float32'\) - 128\) / 128"),
        ("u2", "uint16.*floats"),
        ("bool", "bool.*floats"),
        ("c8", "complex64.*not its spectrum"),
        ("O", "object"),
        ("M8[s]", "datetime64"),
    ],
)
def test_types_of_samples_that_are_refused(dtype, advice):
    with pytest.raises(ValueError, match=f"clip 3 has samples of type {advice}"):
        read_item(np.zeros(100).astype(dtype), WHERE)


def test_the_advice_for_unsigned_bytes_gives_what_the_file_holds(write_audio, sine):
    path = write_audio("a.wav", sine(), subtype="PCM_U8")
    with open(path, "rb") as file:
        x = np.frombuffer(file.read()[44:], np.uint8)[: len(sine())]
    with pytest.raises(ValueError, match="uint8") as caught:
        read_item(x, WHERE)
    advice = str(caught.value).partition("give ")[2]
    np.testing.assert_array_equal(eval(advice, {"x": x})[None], read_audio(Section(path), 16000))


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (5, "clip 3 is 5 of type int"),
        (np.int64(5), r"clip 3 is .*5.* of type int64"),
        (True, "clip 3 is True of type bool"),
        (object, "of type type"),
        ({"audio": 1}, "clip 3 is {'audio': 1} of type dict"),
        ((5, None, None), r"clip 3 is \(5, None, None\) of type tuple"),
        ({"array": SAMPLES}, r"clip 3 is .* of type dict, but a dict must have"),
        (np.array(5.0), "clip 3 is .* of type ndarray"),
    ],
)
def test_what_is_no_clip_at_all(clip, message):
    with pytest.raises(TypeError, match=message):
        read_item(clip, WHERE)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ((SAMPLES, 8000, "dog"), "of type tuple, which cannot be converted"),
        ([[1.0, 2.0], [3.0]], "of type list, which cannot be converted"),
        (np.ma.masked_greater(SAMPLES, 0), "masked"),
        (np.zeros((1, 2, 100)), r"shape \(1, 2, 100\)"),
        ((), r"shape \(0,\)"),
        (np.zeros(0), r"shape \(0,\)"),
        (np.zeros((2, 0)), r"shape \(2, 0\)"),
    ],
)
def test_what_makes_no_waveform(clip, message):
    with pytest.raises(ValueError, match=message):
        read_item(clip, WHERE)


@pytest.mark.parametrize(
    "clip",
    [
        "x" * 100_000,
        ("a.wav", "5" * 100_000, None),
        {str(k): 0 for k in range(10_000)},
        (np.zeros(10**6), "x" * 10**6),
        [["x" * 10**6] * 3, 5],
        np.zeros((500, 500)),
    ],
)
def test_messages_stay_short(clip):
    with pytest.raises((TypeError, ValueError)) as caught:
        read_item(clip, WHERE)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["x" * 1000, list(range(1000)), b"x" * 1000, np.arange(1000)])
def test_values_are_shown_in_short(value):
    assert len(short(value)) <= 60
