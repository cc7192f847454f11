"""Progress: a bar in a terminal or a notebook, lines now and then elsewhere."""

import logging
import sys
import time
import warnings

from tqdm import TqdmWarning
from tqdm import tqdm as TextBar

INTERVAL = 30.0  # seconds between lines where there is no bar

logger = logging.getLogger("sktagger")


class TaskProgress:
    """Tells on standard error how far a task is.

    In a terminal and in a notebook, that is a bar; elsewhere (a pipe, a file) it is a line every
    half minute, so that a shorter task prints nothing.

    Parameters
    ----------
    what : str
        Name of the task.
    total : int
        Number of its units.
    unit : str, default="clip"
        Name of one of them.
    verbose : int or bool, default=1
        0: nothing is shown.
    delay : float, default=0.0
        Seconds after which a bar is shown.
    leave : bool, default=True
        Whether the bar stays when the task is done.
    """

    def __init__(self, what, total, *, unit="clip", verbose=1, delay=0.0, leave=True):
        self.what, self.total, self.unit = what, total, unit
        self.n = 0
        self._verbose = bool(verbose)
        self._bar = None
        self._started = self._said = time.monotonic()
        self._n_skipped, self._figures = 0, ""
        settings = {"desc": what, "total": total, "unit": unit, "delay": delay, "leave": leave}
        if self._verbose and in_notebook():
            self._bar = _notebook_bar(settings)
        elif self._verbose and _in_terminal():
            self._bar = TextBar(**settings, dynamic_ncols=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def update(self, n: int = 1) -> None:
        """Count units that are done."""
        self.n += n
        if self._bar is not None:
            self._bar.update(n)
        elif self._verbose and time.monotonic() - self._said >= INTERVAL:
            self._say(self._state())

    def seek(self, n: int) -> None:
        """Go to a unit, where those before it took no time: they were done earlier."""
        if self._bar is not None:
            self._bar.update(n - self.n)
        self._n_skipped += n - self.n
        self.n = n

    def show(self, figures: dict) -> None:
        """Show figures beside the bar, from the next update on."""
        if self._bar is not None:
            self._bar.set_postfix(figures, refresh=False)
        self._figures = "".join(f", {name} {value}" for name, value in figures.items())

    def log(self, line: str) -> None:
        """Log an event; print it, too, where there is neither a bar nor a log that is kept."""
        logger.info(line)
        kept = logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
        if self._verbose and self._bar is None and not kept:
            self._say(line)
        self._said = time.monotonic()

    def close(self) -> None:
        """End the task."""
        if self._bar is not None:
            self._bar.close()

    def _state(self):
        seconds = time.monotonic() - self._started
        left = seconds / max(self.n - self._n_skipped, 1) * max(self.total - self.n, 0)
        spent, left = map(TextBar.format_interval, (seconds, left))
        part = f"{self.n} of {self.total} {self.unit}s"
        return f"{self.what}: {part}, {spent} so far, about {left} left{self._figures}"

    def _say(self, line):
        self._said = time.monotonic()
        if sys.stderr is None:
            return
        try:
            print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # nobody reads it any more, which ends no training
            self._verbose = False


def in_notebook() -> bool:
    """Say whether this is a notebook or another console whose standard error is no terminal.

    Returns
    -------
    bool
    """
    try:
        shell = sys.modules["IPython"].get_ipython()
        return shell is not None and (
            "IPKernelApp" in shell.config
            or type(shell).__name__ not in ("InteractiveShell", "TerminalInteractiveShell")
        )
    except (KeyError, AttributeError, TypeError):
        return False


def _in_terminal():
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return False


def _notebook_bar(settings):
    """Make a bar of widgets; where they are missing, one of text."""
    try:
        with warnings.catch_warnings():
            # that widgets are missing
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm as bar
        return bar(**settings)
    except ImportError:
        return TextBar(**settings)
