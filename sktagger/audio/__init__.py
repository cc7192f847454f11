"""Read audio files and arrays, and compute and distort their short-time Fourier transforms."""

from sktagger.audio.augmentation import Augmentation
from sktagger.audio.reading import MemoryFile, Section, audio_info, read_audio
from sktagger.audio.spectral import STFT

__all__ = ["STFT", "Augmentation", "MemoryFile", "Section", "audio_info", "read_audio"]
