"""The log of a training: one message per line, in a file and on standard error."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from sktagger._utils.progress import logger
from sktagger._utils.text import printable


@contextmanager
def logging_to(path: str | os.PathLike[str]) -> Iterator[None]:
    """Send the package's log to a file and to standard error.

    Parameters
    ----------
    path : str or PathLike
        Lines are appended to this file.
    """
    handlers = [logging.FileHandler(path, encoding="utf-8"), _TqdmHandler()]
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(_Formatter())
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _Formatter(logging.Formatter):
    """Write each message on one line, because names in it may come from untrusted files."""

    def __init__(self):
        super().__init__("%(asctime)s  %(message)s", "%H:%M:%S")

    def format(self, record):
        return printable(super().format(record))


class _TqdmHandler(logging.Handler):
    """Write above a progress bar instead of into it."""

    def emit(self, record):
        tqdm.write(self.format(record), file=sys.stderr)
