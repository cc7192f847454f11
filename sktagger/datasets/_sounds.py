"""The sounds of :func:`sktagger.datasets.make_scenes`: ten synthetic events, and noise.

Each event is a function of a random generator, a number of samples and a sample rate in Hz (at
least 8000). It returns a waveform of shape (n_samples,), float64, at any level but never silent.
The generator draws pitch, rate and timbre, so no two sirens are the same. Frequencies are in Hz
and times in seconds. Fundamentals stay below 4 kHz, half of the lowest sample rate.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve, lfilter


def noise(rng: Generator, n_samples: int, exponent: float) -> np.ndarray:
    """Return noise with unit power and a spectrum proportional to 1 / frequency ** exponent.

    Parameters
    ----------
    rng : Generator
        Source of the random numbers.
    n_samples : int
        Length of the noise.
    exponent : float
        0 is white, 1 pink and 2 brown noise.

    Returns
    -------
    ndarray of shape (n_samples,), float64
    """
    # The transform is slow for lengths with large prime factors.
    n_fft = next_fast_len(n_samples, real=True)
    spectrum = rfft(rng.standard_normal(n_fft))
    spectrum *= np.maximum(np.arange(len(spectrum)), 1) ** (-exponent / 2)
    colored = irfft(spectrum, n_fft)[:n_samples]
    return colored / colored.std()


def _siren(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    t = np.arange(n_samples) / sample_rate
    low, span = rng.uniform(450, 800), rng.uniform(1.5, 2.2)
    wail = 0.5 - 0.5 * np.cos(2 * np.pi * (_log_uniform(rng, 0.3, 4) * t + rng.random()))
    return _tone(low * span**wail, sample_rate, np.arange(1, 6) ** -rng.uniform(0.7, 2))


def _bell(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    t = np.arange(min(n_samples, 2 * sample_rate)) / sample_rate
    # Partials of a church bell: hum, prime, minor third, fifth, nominal and higher ones.
    ratios = np.array([0.5, 1, 1.2, 1.5, 2, 2.5, 3, 4]) * rng.normal(1, 0.01, 8)
    frequencies = _log_uniform(rng, 300, 900) * ratios
    amplitudes = rng.uniform(0.2, 1, 8) * (frequencies < sample_rate / 2)
    decays = ratios[:, None] / rng.uniform(0.3, 1.0)
    partials = np.sin(2 * np.pi * frequencies[:, None] * t) * np.exp(-decays * t)
    return _repeat(rng, amplitudes @ partials, rng.uniform(0.4, 1.2), n_samples, sample_rate)


def _rain(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    # A high power of Gaussian noise is nearly silent except for single peaks.
    drops = rng.standard_normal(n_samples) ** rng.choice([5, 7, 9])
    drops = _resonate(drops, rng.uniform(1200, 3500), rng.uniform(300, 1500), sample_rate)
    hiss = lfilter([1, -rng.uniform(0.3, 0.95)], 1, rng.standard_normal(n_samples))
    return drops / drops.std() + rng.uniform(0.3, 2) * hiss / hiss.std()


def _engine(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    wobble = 1 + rng.uniform(0, 0.2) * _wander(rng, n_samples, sample_rate, rate=1)
    pulses = _pulses(_log_uniform(rng, 20, 80) * wobble, sample_rate)
    pulses *= rng.normal(1, 0.2, n_samples)
    body = _resonate(pulses, rng.uniform(60, 200), 80, sample_rate)
    rattle = _resonate(pulses, rng.uniform(300, 900), 250, sample_rate)
    exhaust = noise(rng, n_samples, exponent=2)
    return body / body.std() + rng.uniform(0.2, 0.8) * rattle / rattle.std() + 0.3 * exhaust


def _crickets(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    t = np.arange(n_samples) / sample_rate
    pulses = np.sin(np.pi * rng.uniform(15, 35) * t) ** 2
    chirps = (t * rng.uniform(1.5, 4)) % 1 < rng.uniform(0.3, 0.8)
    carrier = rng.uniform(2300, 3700) * (1 + 0.01 * _wander(rng, n_samples, sample_rate, rate=3))
    return _tone(carrier, sample_rate, np.array([1, 0.1])) * pulses * _smooth(chirps, sample_rate)


def _footsteps(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    decay = rng.uniform(0.02, 0.05)
    thump = _burst(rng, decay, rng.uniform(80, 300), 80, sample_rate)
    scrape = _burst(rng, decay, rng.uniform(800, 3000), 1500, sample_rate)
    step = thump + rng.uniform(0.2, 1) * scrape
    return _repeat(rng, step, rng.uniform(0.35, 0.7), n_samples, sample_rate)


def _bird(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    t = np.arange(n_samples) / sample_rate * rng.uniform(3, 8)
    # A motif of a few gliding syllables, which is repeated.
    n_syllables = rng.integers(2, 6)
    syllable, position = t.astype(int) % n_syllables, t % 1
    start, end = rng.uniform(1600, 3700, (2, n_syllables))
    glide = np.minimum(position / rng.uniform(0.4, 0.9, n_syllables)[syllable], 1)
    frequency = start[syllable] + (end - start)[syllable] * glide
    return _tone(frequency, sample_rate, np.array([1, 0.2])) * np.sin(np.pi * glide) ** 2


def _knocks(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    knock = _burst(rng, rng.uniform(0.008, 0.02), rng.uniform(180, 700), 60, sample_rate)
    gap = rng.uniform(0.1, 0.22)
    n_series = int(rng.integers(3, 7) * gap * sample_rate)
    series = _repeat(rng, knock, gap, n_series, sample_rate)
    pause = n_series / sample_rate + rng.uniform(0.2, 0.8)
    return _repeat(rng, series, pause, n_samples, sample_rate)


def _alarm(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    t = np.arange(n_samples) / sample_rate
    first = (t * rng.uniform(1.5, 7)) % 1 < rng.uniform(0.4, 0.6)
    pitch = rng.uniform(1200, 3200)
    if rng.random() < 0.5:
        frequency, gate = np.full(n_samples, pitch), _smooth(first, sample_rate)
    else:
        frequency, gate = np.where(first, pitch, pitch * rng.uniform(0.7, 0.9)), 1
    return _tone(frequency, sample_rate, np.array([1, rng.uniform(0, 0.3), 0.3])) * gate


def _babble(rng: Generator, n_samples: int, sample_rate: int) -> np.ndarray:
    babble = np.zeros(n_samples)
    for _ in range(rng.integers(1, 4)):
        intonation = 1 + 0.2 * _wander(rng, n_samples, sample_rate, rate=3)
        voice = _pulses(_log_uniform(rng, 90, 230) * intonation, sample_rate)
        t = np.arange(n_samples) / sample_rate * rng.uniform(3, 6) + rng.random()
        syllable = t.astype(int)
        spoken = rng.random(syllable[-1] + 1) < 0.85
        spoken[0] = True
        loudness = np.sin(np.pi * (t % 1)) * spoken[syllable]
        for vowel in range(4):
            sound = voice
            for formant, width in ((rng.uniform(300, 800), 90), (rng.uniform(900, 2200), 140)):
                sound = _resonate(sound, formant, width, sample_rate)
            babble += sound / sound.std() * loudness * (syllable % 4 == vowel)
    return babble


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return low * (high / low) ** rng.random()


def _tone(frequency: np.ndarray, sample_rate: int, amplitudes: np.ndarray) -> np.ndarray:
    """Return harmonics of a frequency that changes over time, without aliasing."""
    phase = 2 * np.pi * np.cumsum(frequency) / sample_rate
    harmonics = enumerate(amplitudes, start=1)
    return sum(a * np.sin(k * phase) * (k * frequency < sample_rate / 2) for k, a in harmonics)


def _pulses(frequency: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return one sample of height 1 per period, the first one at the start."""
    periods = np.cumsum(frequency) / sample_rate
    return np.diff(np.floor(periods), prepend=-1).clip(0, 1)


def _resonate(x: np.ndarray, frequency: float, bandwidth: float, sample_rate: int) -> np.ndarray:
    radius = np.exp(-np.pi * bandwidth / sample_rate)
    angle = 2 * np.pi * frequency / sample_rate
    return lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], x)


def _burst(
    rng: Generator, decay: float, frequency: float, bandwidth: float, sample_rate: int
) -> np.ndarray:
    t = np.arange(int(8 * decay * sample_rate)) / sample_rate
    burst = rng.standard_normal(len(t)) * np.exp(-t / decay)
    burst = _resonate(burst, frequency, bandwidth, sample_rate)
    return burst / np.abs(burst).max()


def _repeat(
    rng: Generator, grain: np.ndarray, interval: float, n_samples: int, sample_rate: int
) -> np.ndarray:
    """Repeat a grain about every `interval` seconds, from the start, with varying strength."""
    period = interval * sample_rate
    onsets = np.arange(0, n_samples, period)
    onsets[1:] += period * rng.uniform(-0.05, 0.05, len(onsets) - 1)
    strokes = np.zeros(n_samples)
    strokes[onsets.astype(int).clip(max=n_samples - 1)] = rng.uniform(0.6, 1, len(onsets))
    return fftconvolve(strokes, grain)[:n_samples]


def _smooth(gate: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return a gate that opens and closes within 4 ms, which avoids clicks."""
    forget = np.exp(-1 / (0.004 * sample_rate))
    return lfilter([1 - forget], [1, -forget], gate.astype(float))


def _wander(rng: Generator, n_samples: int, sample_rate: int, rate: float) -> np.ndarray:
    """Return a random curve in [-1, 1], linear between `rate` corners per second."""
    corners = rng.uniform(-1, 1, 2 + int(n_samples / sample_rate * rate))
    return np.interp(np.arange(n_samples) / sample_rate * rate, np.arange(len(corners)), corners)


EVENTS: dict[str, Callable[[Generator, int, int], np.ndarray]] = {
    "alarm": _alarm,
    "babble": _babble,
    "bell": _bell,
    "bird": _bird,
    "crickets": _crickets,
    "engine": _engine,
    "footsteps": _footsteps,
    "knocks": _knocks,
    "rain": _rain,
    "siren": _siren,
}
