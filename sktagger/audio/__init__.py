"""From files and arrays to waveforms, their short-time Fourier transforms, and distortions."""

from sktagger.audio.reading import Section, audio_info, read_audio

__all__ = ["Section", "audio_info", "read_audio"]
