"""Show progress: a bar in a terminal or a notebook, a line every half minute elsewhere."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from types import TracebackType

from tqdm import TqdmWarning
from tqdm import tqdm as TextBar

INTERVAL = 30.0  # seconds between lines if there is no bar

logger = logging.getLogger("sktagger")


class TaskProgress:
    """Show the progress of a task on standard error.

    A terminal or a notebook shows a bar. A pipe or a file gets a line every half minute, so a
    shorter task prints nothing there.

    Parameters
    ----------
    what : str
        Name of the task.
    total : int
        Number of units of work.
    unit : str, default="clip"
        Name of one unit.
    verbose : int or bool, default=1
        0 shows nothing.
    delay : float, default=0.0
        Time in seconds before a bar is shown.
    leave : bool, default=True
        Whether the bar stays after the task is done.
    """

    def __init__(
        self,
        what: str,
        total: int,
        *,
        unit: str = "clip",
        verbose: int | bool = 1,
        delay: float = 0.0,
        leave: bool = True,
    ) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.n = 0
        self._verbose = bool(verbose)
        self._bar = None
        self._start_time = self._last_line_time = time.monotonic()
        self._n_skipped, self._figures = 0, ""
        settings = {"desc": what, "total": total, "unit": unit, "delay": delay, "leave": leave}
        if self._verbose and in_notebook():
            self._bar = _notebook_bar(settings)
        elif self._verbose and _in_terminal():
            self._bar = TextBar(**settings, dynamic_ncols=True)

    def __enter__(self) -> TaskProgress:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """Count `n` more units as done."""
        self.n += n
        if self._bar is not None:
            self._bar.update(n)
        elif self._verbose and time.monotonic() - self._last_line_time >= INTERVAL:
            self._print(self._state())

    def seek(self, n: int) -> None:
        """Set the number of units done, some of them by an earlier run.

        Their time is not known, so they do not count in the estimate of the time left.
        """
        if self._bar is not None:
            self._bar.update(n - self.n)
        self._n_skipped += n - self.n
        self.n = n

    def show(self, figures: dict[str, object]) -> None:
        """Show named figures next to the bar, starting with the next update."""
        if self._bar is not None:
            self._bar.set_postfix(figures, refresh=False)
        self._figures = "".join(f", {name} {value}" for name, value in figures.items())

    def log(self, line: str) -> None:
        """Log a line. Also print it if there is neither a bar nor a handler for the log."""
        logger.info(line)
        is_logged = logger.isEnabledFor(logging.INFO) and logger.hasHandlers()
        if self._verbose and self._bar is None and not is_logged:
            self._print(line)
        self._last_line_time = time.monotonic()

    def close(self) -> None:
        """End the task."""
        if self._bar is not None:
            self._bar.close()

    def _state(self):
        seconds = time.monotonic() - self._start_time
        left = seconds / max(self.n - self._n_skipped, 1) * max(self.total - self.n, 0)
        spent, left = map(TextBar.format_interval, (seconds, left))
        part = f"{self.n} of {self.total} {self.unit}s"
        return f"{self.what}: {part}, {spent} so far, about {left} left{self._figures}"

    def _print(self, line):
        self._last_line_time = time.monotonic()
        if sys.stderr is None:
            return
        try:
            print(line, file=sys.stderr, flush=True)
        except (OSError, ValueError):  # a closed pipe must not end a training
            self._verbose = False


def in_notebook() -> bool:
    """Return whether the code runs in a notebook, or in another IPython console with widgets.

    Their standard error is not a terminal.

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
    except (AttributeError, ValueError):  # standard error is missing or closed
        return False


def _notebook_bar(settings):
    """Return a bar made of widgets, or a text bar if widgets are not installed."""
    try:
        with warnings.catch_warnings():
            # tqdm warns if widgets are missing.
            warnings.simplefilter("ignore", TqdmWarning)
            from tqdm.auto import tqdm as bar
        return bar(**settings)
    except ImportError:
        return TextBar(**settings)
