# PYTHON_ARGCOMPLETE_OK
"""The command line: one module per command, each with a parser, a worker and a main."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from contextlib import contextmanager

from sktagger import __version__
from sktagger._utils.text import printable
from sktagger.commands import check, demo, evaluate, import_, models, nearest, review, tag, train
from sktagger.commands._completion import complete

__all__ = ["COMMANDS", "build_parser", "main"]

# the modules of the commands, by the words that users type
COMMANDS = {
    "demo": demo,
    "import": import_,
    "check": check,
    "train": train,
    "evaluate": evaluate,
    "tag": tag,
    "nearest": nearest,
    "review": review,
    "models": models,
}


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands.

    Returns
    -------
    ArgumentParser
        It stores the function to call with the parsed arguments as ``main``.
    """
    parser = argparse.ArgumentParser(
        prog="sktagger", description="Audio tagging: train, evaluate, tag, and try it out."
    )
    parser.add_argument("--version", action="version", version=f"sktagger {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(subparser)
        subparser.set_defaults(main=module.main)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments. None: those of the process.

    Returns
    -------
    int
        Exit status: 0 after success, 1 after a user error, reported in one line, 130 after Ctrl-C,
        143 after SIGTERM, 141 if the reader of standard output has ended.
    """
    args = _parse(argv)
    with _sigterm_as_interrupt() as signals, _one_line_warnings():
        try:
            args.main(args)
        except BrokenPipeError:
            # the reader of standard output, such as head, has ended; Python must not write to it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        except (
            ValueError,
            TypeError,
            OSError,
            ImportError,
            FloatingPointError,
            MemoryError,
        ) as error:
            print(f"sktagger {args.command}: error: {printable(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt as interrupt:
            word = "Terminated." if signals else "Interrupted."
            print(printable(interrupt) if interrupt.args else word, file=sys.stderr)
            return 128 + (signals or [signal.SIGINT])[0]
    return 0


def _parse(argv):
    """Parse arguments; files may be before, between and after options."""
    parser = build_parser()
    complete(parser)
    args, rest = parser.parse_known_args(argv)
    if rest and hasattr(args, "files") and not any(re.match("-.", text) for text in rest):
        args.files += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return args


@contextmanager
def _sigterm_as_interrupt():
    """Let SIGTERM, which job schedulers send, end a command as Ctrl-C does.

    Yields a list that receives the signal. A handler that someone else has set stays. Threads
    other than the main one cannot set handlers, so nothing changes there.
    """
    signals = []

    def interrupt(number, frame):
        signal.signal(number, signal.SIG_IGN)  # a second signal must not disturb the cleanup
        signals.append(number)
        raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield signals
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield signals
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _one_line_warnings():
    """Print each warning on one line, because names in it may come from untrusted files."""

    def format_warning(message, category, filename, lineno, line=None):
        return f"{category.__name__}: {printable(message)} ({filename}:{lineno})\n"

    formatwarning = warnings.formatwarning
    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        warnings.formatwarning = formatwarning
