"""What one can hear and see of the clips with errors, as parts of the report page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile
import soxr

from sktagger._utils.progress import TaskProgress
from sktagger.audio.clips import ArrayClips, FileClips, Gap
from sktagger.audio.reading import to_mono
from sktagger.taggers._spectrogram import Spectrogram, compute_spectrogram, frequency_ticks

_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000)  # Hz; higher ones take more space
_RATE_WITHOUT_TAGGER = 24000  # Hz
_LONGEST = 600  # seconds of a recording that is read whole
_N_LANES = 6  # events whose scores in time are drawn
_COMPRESSION = 0.6  # of MP3, in [0, 1]
_QUALITY = 60  # of WebP, from 0 to 100
_LEAST_GAP = 0.09  # between labels of the frequency axis
_BATCH = 16  # clips that are scored at once


def choose_clips(errors: dict[str, np.ndarray]) -> list[int]:
    """Order the clips with errors so that all events take turns, each with its worst ones first.

    Parameters
    ----------
    errors : dict of ndarray of shape (n_errors,)
        See :func:`sktagger.reports._page_data.list_errors`.

    Returns
    -------
    list of int
        Each clip once.
    """
    table = pd.DataFrame({name: errors[name] for name in ("clip", "event", "kind")})
    turn = table.groupby(["event", "kind"], sort=False).cumcount()
    order = np.argsort(turn.to_numpy(), kind="stable")
    return table["clip"].iloc[order].drop_duplicates().tolist()


def links_to_files(clips: FileClips | ArrayClips, folder: Path) -> list[str | None]:
    """Return links from a folder to the files of clips; None for clips that are no files.

    Parameters
    ----------
    clips : FileClips or ArrayClips
    folder : Path
        Folder of the page.

    Returns
    -------
    list of str or None
        Relative, with a fragment such as ``#t=1.5,3`` for sections.
    """
    if isinstance(clips, ArrayClips):
        return [None] * len(clips)
    return [_link(section, folder) for section in clips.sections]


def _link(section, folder):
    if isinstance(section, Gap) or not isinstance(section.path, str | os.PathLike):
        return None
    path, start, stop = Path(section.path).absolute(), section.start, section.stop
    try:
        link = quote(Path(os.path.relpath(path, folder.absolute())).as_posix())
    except ValueError:  # on another drive
        link = path.as_uri()
    if start is None and stop is None:
        return link
    rate = soundfile.info(path).samplerate if path.is_file() else 1
    end = "" if stop is None else f",{stop / rate:.3f}"
    return f"{link}#t={(start or 0) / rate:.3f}{end}"


class Renderer:
    """Renders clips for the page.

    Parameters
    ----------
    clips : FileClips or ArrayClips
        All clips of the page.
    tagger : AudioTagger or None
        Gives scores in time and pictures. None: there are none.
    max_seconds : float
        Longer clips are cut to this length, around the highest score of an event of an error.
    """

    def __init__(self, clips: FileClips | ArrayClips, tagger: Any, max_seconds: float):
        self.clips = clips
        self.tagger = tagger
        self.max_seconds = max_seconds
        self.sample_rate = (
            _RATE_WITHOUT_TAGGER if tagger is None else tagger.network_.get_input().sample_rate
        )

    def render(self, index: int, scores: pd.DataFrame | None, events: Sequence[int]) -> dict:
        """Render a clip.

        Parameters
        ----------
        index : int
            Position of the clip.
        scores : DataFrame of shape (n_segments, n_events), or None
            Scores in time.
        events : sequence of int
            Columns to draw, those of errors first.

        Returns
        -------
        dict
            "audio" (MP3), "start" and "duration" in s; with scores, "lanes" and "grid".

        Raises
        ------
        OSError, ValueError
            If the clip cannot be read.
        """
        rate = self.sample_rate
        n_samples = self.clips.n_samples(index, rate)
        start, stop = self._excerpt(n_samples, scores, events)
        channels, first = self._read(index, n_samples, start, stop)
        inside = slice(start - first, stop - first)
        excerpt = to_mono(channels, "peak")[inside]
        content = {
            "audio": encode_mp3(excerpt, rate),
            "start": round(start / rate, 3),
            "duration": round(len(excerpt) / rate, 3),
        }
        if scores is not None and len(scores):
            content |= _lanes(scores, events, start / rate, stop / rate)
            if self.tagger.network_.get_input().scale == "raw":
                excerpt = to_mono(channels, "raw")[inside]
            content |= self._picture(excerpt)
        return content

    def _read(self, index, n_samples, start, stop):
        """Return samples (n_channels, n), and the place of the first one.

        Of a long recording, only the excerpt is kept in memory, so that it has its own peak.
        """
        if n_samples <= _LONGEST * self.sample_rate:
            return self.clips.load(index, self.sample_rate), 0
        parts, place = [], 0
        for block in self.clips.blocks(index, self.sample_rate):
            parts.append(block[:, max(0, start - place) : max(0, stop - place)].copy())
            place += block.shape[1]
            if place >= stop:
                break
        return np.concatenate(parts, axis=1), start

    def _excerpt(self, n_samples, scores, events):
        length = round(self.max_seconds * self.sample_rate)
        if n_samples <= length:
            return 0, n_samples
        place = 0.0
        if scores is not None and len(scores) and len(events):
            best = int(scores.iloc[:, events[0]].to_numpy().argmax())
            place = sum(scores.index[best]) / 2 * self.sample_rate
        start = int(np.clip(place - length / 2, 0, n_samples - length))
        return start, start + length

    def _picture(self, excerpt):
        """Return the picture of an excerpt, and labels of its frequency axis."""
        try:
            spectrogram = compute_spectrogram(self.tagger, excerpt)
        except NotImplementedError:
            return {}
        return draw_spectrogram(spectrogram, len(excerpt) / self.sample_rate)


def _lanes(scores, events, start, stop):
    """Return the scores in time of some events, from 0 to 100, in an excerpt."""
    onsets, offsets = (scores.index.get_level_values(i).to_numpy(float) for i in (0, 1))
    step = onsets[1] - onsets[0] if len(onsets) > 1 else offsets[0] - onsets[0]
    inside = (offsets > start) & (onsets < stop)
    values = 100 * scores.to_numpy()[inside].clip(0, 1)
    return {
        "grid": [round(float(onsets[inside][0] - start), 4), round(float(step), 5)]
        + [round(float(offsets[0] - onsets[0]), 4)],
        "lanes": [[int(e), values[:, e].round().astype(int).tolist()] for e in events[:_N_LANES]],
    }


def draw_spectrogram(spectrogram: Spectrogram, duration: float) -> dict:
    """Draw a spectrogram as wide as a clip is long, one pixel for each frame and band.

    Parameters
    ----------
    spectrogram : Spectrogram
    duration : float
        Length of the clip in seconds.

    Returns
    -------
    dict
        "image" (WebP in base64), and "hz", pairs of a place from 0 (below) to 1 and a label.
    """
    from matplotlib import colormaps
    from PIL import Image

    values, times, frequencies = spectrogram
    step = times[1] - times[0] if len(times) > 1 else duration
    n_columns = max(1, round(duration / step))
    # a column has the frame whose center is nearest; what no frame covers, as at edges, is dark
    centers = (np.arange(n_columns) + 0.5) * duration / n_columns
    frames = np.clip(np.round((centers - times[0]) / step), 0, len(times) - 1).astype(int)
    low, high = np.quantile(values, [0.01, 0.999])
    shades = ((values[::-1, frames] - low) / max(high - low, 1e-6)).clip(0, 1)
    pixels = (255 * colormaps["magma"](shades)[..., :3]).round().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=_QUALITY, method=4)
    return {
        "image": base64.b64encode(buffer.getvalue()).decode(),
        "hz": _label_frequencies(frequencies),
    }


def _label_frequencies(frequencies):
    """Return places between 0 and 1 on the axis of mel bands, and labels, which do not overlap."""
    return [
        [
            round((band + 0.5) / len(frequencies), 4),
            f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz",
        ]
        for band, hz in frequency_ticks(frequencies, _LEAST_GAP)
    ]


def encode_mp3(waveform: np.ndarray, sample_rate: int) -> str:
    """Encode a waveform as MP3, in base64.

    Parameters
    ----------
    waveform : ndarray of shape (n_samples,), float32, in [-1, 1]
    sample_rate : int
        In Hz. If MP3 does not have it, the next lower one that it has is used, at most 32 kHz.

    Returns
    -------
    str
    """
    rate = max((r for r in _MPEG_RATES if r <= sample_rate), default=_MPEG_RATES[0])
    if rate != sample_rate:
        waveform = soxr.resample(waveform, sample_rate, rate)
    buffer = io.BytesIO()
    waveform = np.clip(0.9 * waveform, -1, 1)
    settings = {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": _COMPRESSION}
    soundfile.write(buffer, waveform, rate, **settings)
    return base64.b64encode(buffer.getvalue()).decode()


def render_clips(
    renderer: Renderer,
    X: Any,
    order: Sequence[int],
    events_of: dict[int, list[int]],
    max_bytes: int,
    verbose: int | bool,
) -> Iterator[tuple[int, dict]]:
    """Render clips until they take up the space of the page.

    Parameters
    ----------
    renderer : Renderer
    X : container of clips
        All clips, as the tagger takes them.
    order : sequence of int
        Positions of clips, most important first.
    events_of : dict of int to list of int
        Columns to draw for each clip, those of errors first.
    max_bytes : int
        Maximum size of all clips.
    verbose : int or bool
        0: no progress is shown.

    Yields
    ------
    index : int
    content : dict
        See :meth:`Renderer.render`. Clips that cannot be read are left out.
    """
    from sklearn.utils import _safe_indexing

    left = max_bytes
    with TaskProgress("Rendering errors", len(order), verbose=verbose, delay=2) as bar:
        for first in range(0, len(order), _BATCH):
            batch = list(order[first : first + _BATCH])
            tables: Sequence[pd.DataFrame | None] = [None] * len(batch)
            if renderer.tagger is not None:
                tables = renderer.tagger.predict_segments(_safe_indexing(X, batch))
            for index, scores in zip(batch, tables, strict=True):
                try:
                    content = renderer.render(index, scores, events_of[index])
                except (OSError, ValueError):
                    continue
                left -= sum(len(value) for value in content.values() if isinstance(value, str))
                if left < 0:
                    return
                yield index, content
            bar.update(len(batch))
