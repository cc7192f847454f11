"""Check a single clip: a path, a section of a file, a waveform or a missing clip."""

from __future__ import annotations

import io
import operator
import os
import reprlib
from collections.abc import Mapping
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import soundfile

from sktagger.audio._gaps import Gap
from sktagger.audio.reading import MemoryFile, Section

# Names of the paths in tables and dicts.
PATH_NAMES = ("path", "audio_path", "file_path", "filepath", "filename", "file")
_SAMPLES_NAMES = ("array", "waveform", "raw")
_RATE_NAMES = ("sampling_rate", "sample_rate")
MAX_CHANNELS = 32
_MIN_RATE = 1000  # in a pair, a lower number is probably the label of the clip
_MAX_PATH = 4096


class Waveform(NamedTuple):
    """A clip in memory.

    Parameters
    ----------
    samples : ndarray of shape (n_samples,) or (n_channels, n_samples)
        Floats or signed integers.
    rate : int or None, default=None
        Sample rate in Hz. None: the rate at which the clip is loaded.
    shape : tuple of int, default=()
        Shape of the array that the user passed, which may be (n_samples, n_channels).
    """

    samples: np.ndarray
    rate: int | None = None
    shape: tuple[int, ...] = ()


def read_item(clip: Any, where: str) -> Section | Waveform | Gap:
    """Determine the kind of a clip and convert it.

    Parameters
    ----------
    clip : object
        A path, an open binary file or its bytes, a section (path, start, stop), an array, a pair
        of an array and its sample rate, or a dict with one of these.
    where : str
        Name of the clip in messages, such as "X: clip 3".

    Returns
    -------
    Section, Waveform or Gap
        A Gap if the clip is None, NaN or an empty string, or an open file that cannot be read.

    Raises
    ------
    TypeError, ValueError
        If `clip` is none of these.
    """
    if hasattr(clip, "as_py"):  # a pyarrow scalar
        clip = clip.as_py()
    if isinstance(clip, Mapping):
        clip = _from_mapping(clip, where)
    if is_missing(clip):
        return _gap(clip, where)
    if is_file(clip):
        return _section((clip,), where)
    if _is_section(clip):
        return _section(clip, where)
    pair = split_rate(clip)
    if pair is not None:
        samples, rate = pair
        return _waveform(samples, where, _check_rate(rate, where))
    return _waveform(clip, where)


def is_missing(value: Any) -> bool:
    """Return whether a value means "missing": None, NaN, NA, NaT or an empty string."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str | bytes):
        return not value
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def is_number(value: Any) -> bool:
    """Return whether a value is a single number, or an array or tensor without axes."""
    if isinstance(value, Number | np.generic):
        return isinstance(value, Number | np.bool_)
    return hasattr(value, "__array__") and getattr(value, "ndim", None) == 0


def is_file(value: Any) -> bool:
    """Return whether a value is a path, a file in memory or an open file."""
    paths = str | bytes | bytearray | memoryview | os.PathLike | MemoryFile | soundfile.SoundFile
    return isinstance(value, paths) or hasattr(value, "read")


def split_rate(clip: Any) -> tuple[Any, Any] | None:
    """Return the array and the rate of a pair of both in any order, or None for other clips."""
    if isinstance(clip, tuple | list) and len(clip) == 2:
        for samples, rate in (clip, clip[::-1]):
            holds_samples = hasattr(samples, "__array__") or isinstance(samples, list)
            if holds_samples and not is_number(samples) and is_number(rate):
                return None if is_missing(rate) else (samples, rate)
    return None


def as_array(values: Any) -> np.ndarray:
    """Convert numbers to an array, also from tensors of any device and type."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError("a masked array, whose gaps must be filled first")
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.asarray(values)


def check_samples_type(dtype: np.dtype, where: str) -> None:
    """Raise a ValueError unless samples are floats or signed integers."""
    if dtype.kind in "fi":
        return
    advice = "Convert them to floats in [-1, 1]."
    if dtype.kind == "c":
        advice = "Complex data not supported: give the waveform, not its spectrum."
    elif dtype == np.uint8:
        advice = "In WAV files of 8 bits, 128 means zero: give (x.astype('float32') - 128) / 128."
    raise ValueError(
        f"{where} has samples of type {dtype}, but they must be floats or signed integers. {advice}"
    )


def short(value: Any) -> str:
    """Return a short `repr` for messages, without formatting all of a large value."""
    text = " ".join(_REPR.repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


class _Repr(reprlib.Repr):
    def repr_instance(self, value, level):
        if getattr(value, "shape", ()):
            return f"<{type(value).__name__} of shape {tuple(value.shape)}>"
        return super().repr_instance(value, level)


_REPR = _Repr()
_REPR.maxstring = _REPR.maxother = 60


def _gap(clip, where):
    return Gap(
        f"{where} is {clip!r}, but a clip must be a path, a section (path, start, stop), or an "
        "array of samples.",
        ValueError if isinstance(clip, str | bytes) else TypeError,
    )


def _no_clip(clip, where):
    return TypeError(
        f"{where} is {short(clip)} of type {type(clip).__name__}, but a clip must be a path, a "
        "section (path, start, stop), or an array of samples."
    )


def _from_mapping(clip, where):
    """Return the clip in a dict, as Hugging Face's datasets, pyannote or tables give it."""
    keys = set(clip)
    rates = [key for key in _RATE_NAMES if key in keys]
    samples = [key for key in _SAMPLES_NAMES if key in keys and clip[key] is not None]
    if len(samples) == 1 and len(rates) == 1:
        return clip[samples[0]], clip[rates[0]]
    if keys in ({"bytes"}, {"bytes", "path"}) and clip["bytes"] is not None:
        name = clip.get("path")
        return MemoryFile(bytes(clip["bytes"]), repr(name) if name else f"<{where}>")
    paths = [key for key in PATH_NAMES if key in keys]
    if len(paths) == 1 and keys <= {*paths, "start", "stop", "bytes"}:
        return Section(clip[paths[0]], clip.get("start"), clip.get("stop"))
    raise TypeError(
        f"{where} is {short(clip)} of type {type(clip).__name__}, but a dict must have the keys "
        "'array' and 'sampling_rate', or 'bytes' and 'path', or 'path', 'start' and 'stop'."
    )


def _is_section(clip):
    if not isinstance(clip, tuple | list) or not clip:
        return False
    is_gap = is_missing(clip[0]) and len(clip) in (1, 3)
    return isinstance(clip, Section) or is_file(clip[0]) or is_gap


def _section(clip, where):
    path, *bounds = clip
    if is_missing(path):
        return _gap(path, where)
    try:
        start, stop = [None if is_missing(b) else _whole(b) for b in bounds] or (None, None)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where} is {short(clip)}, but a section must be (path, start, stop), with start and "
            "stop integers (samples at the sample rate of the file) or None. Multiply seconds by "
            "the rate."
        ) from None
    path = _path(path, where)
    return path if isinstance(path, Gap) else Section(path, start, stop)


def _whole(number):
    """Return a number as int. Integers in a column with missing values are floats."""
    if isinstance(number, bool | np.bool_):
        raise TypeError("a bool")
    if isinstance(number, float | np.floating) and number.is_integer():
        return int(number)
    return operator.index(number)


def _path(path, where):
    if isinstance(path, MemoryFile):
        return path
    if isinstance(path, soundfile.SoundFile):
        return _path(path.name, where)
    if hasattr(path, "read"):
        return _read_open_file(path, where)
    if isinstance(path, bytearray | memoryview) or (
        isinstance(path, bytes) and (len(path) > _MAX_PATH or b"\0" in path)
    ):
        return MemoryFile(bytes(path), f"<{where}>")
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(
            f"{where} has {short(path)} of type {type(path).__name__} in place of a path."
        )
    path = str(os.fsdecode(path))
    if len(path) > _MAX_PATH:
        raise ValueError(
            f"{where} is {short(path)}, a string of {len(path)} characters, but must be a path of "
            f"at most {_MAX_PATH}."
        )
    return path


def _read_open_file(file, where):
    """Read an open file from its beginning, and restore its position."""
    advice = "but it must be opened for reading in binary mode: open(path, 'rb')."
    if isinstance(file, io.TextIOBase):
        raise TypeError(f"{where} is a file opened as text, {advice}")
    try:
        position = file.tell() if hasattr(file, "seek") else None
        if position:
            file.seek(0)
        content = file.read()
        if position is not None:
            file.seek(position)
    except (OSError, ValueError) as error:
        return Gap(f"{where} is an open file that cannot be read ({error}), {advice}")
    if not isinstance(content, bytes):
        raise TypeError(f"{where} is a file that returns {type(content).__name__}, {advice}")
    name = getattr(file, "name", None)
    return MemoryFile(content, repr(name) if name and isinstance(name, str) else f"<{where}>")


def _check_rate(rate, where):
    try:
        whole = _whole(rate)
    except TypeError:
        whole = 0
    if whole < _MIN_RATE:
        raise ValueError(
            f"{where} is a pair of an array and {short(rate)}, but the second value must be the "
            f"sample rate of the array: an integer in Hz, at least {_MIN_RATE}. Give only the "
            "array if it has the sample_rate of the tagger."
        )
    return whole


def _waveform(clip, where, rate=None):
    if not (hasattr(clip, "__array__") or isinstance(clip, tuple | list)) or is_number(clip):
        raise _no_clip(clip, where)
    try:
        samples = as_array(clip)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where} is {short(clip)} of type {type(clip).__name__}, which cannot be converted "
            f"to an array of samples ({str(error)[:100]})."
        ) from None
    if samples.dtype.kind in "fiubc" and (samples.ndim not in (1, 2) or samples.size == 0):
        raise ValueError(
            f"{where} is an array of shape {samples.shape} and type {samples.dtype}, but the "
            "shape of a waveform must be (n_samples,) or (n_channels, n_samples), and it must not "
            "be empty."
        )
    if samples.dtype.kind not in "fiubc" and isinstance(clip, tuple | list):
        raise _no_clip(clip, where)
    check_samples_type(samples.dtype, where)
    shape = samples.shape
    return Waveform(samples.T if has_channels_last(shape, where) else samples, rate, shape)


def has_channels_last(shape: tuple[int, ...], where: str) -> bool:
    """Return whether a shape is (n_samples, n_channels), as soundfile and SciPy read files.

    An axis of length 1 is the axis of channels. Else, channels are the axis of length 32 or less,
    and samples the longer axis.

    Parameters
    ----------
    shape : tuple of int
        Shape of a waveform with one or two axes.
    where : str
        Name of the clip in messages.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        If the shape does not determine the axis of channels.
    """
    if len(shape) == 1 or shape[0] == 1:
        return False
    first, last = (n <= MAX_CHANNELS for n in shape)
    if shape[1] != 1 and first == last:
        raise ValueError(
            f"{where} is an array of shape {shape}, but (n_channels, n_samples) must have at most "
            f"{MAX_CHANNELS} channels and more than {MAX_CHANNELS} samples. Give a mono waveform "
            "as (n_samples,)."
        )
    return shape[1] == 1 or last
