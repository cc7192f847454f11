"""Audio files in memory, and changes of their bytes."""

import io
import struct

import numpy as np
import soundfile

from sktagger.audio.reading import MemoryFile, Section, audio_info, read_audio

RATE = 8000


def encode(samples, rate=RATE, **kwargs):
    """Encode (n_samples,) or (n_samples, n_channels) to bytes."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **kwargs)
    return file.getvalue()


def patch(content, offset, value, layout="<I"):
    """Write a number into bytes."""
    content = bytearray(content)
    struct.pack_into(layout, content, offset, value)
    return bytes(content)


def decode(content, start=None, stop=None, rate=RATE):
    """Read what a file in memory holds: (n_channels, n_samples)."""
    return read_audio(Section(MemoryFile(content), start, stop), rate)


def check_samples(content, expected, atol=1e-6, rate=RATE):
    """Assert that a file is as long as it should be, and that all and sections of it are right."""
    n_samples = len(expected)
    assert audio_info(Section(MemoryFile(content))) == (n_samples, rate)
    np.testing.assert_allclose(decode(content, rate=rate)[0], expected, rtol=0, atol=atol)
    middle = n_samples // 2
    for start, stop in [(0, 10), (100, 300), (middle - 70, middle + 70), (n_samples - 90, None)]:
        section = decode(content, start, stop, rate)[0]
        np.testing.assert_allclose(section, expected[start:stop], rtol=0, atol=atol)
