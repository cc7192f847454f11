"""The command line: one module per command, each with a parser, a worker and a main."""

import argparse
import signal
import sys
import threading
import warnings
from contextlib import contextmanager

from sktagger import __version__
from sktagger._utils.text import printable
from sktagger.commands import demo, evaluate, train

COMMANDS = {"demo": demo, "train": train, "evaluate": evaluate}


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="sktagger", description="Audio tagging: train on clips and events, evaluate, try out."
    )
    parser.add_argument("--version", action="version", version=f"sktagger {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        module.add_arguments(subparser)
        subparser.set_defaults(main=module.main)
    return parser


def main(argv=None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments; None takes those of the process.

    Returns
    -------
    int
        Exit status: 0, 1 after an error that is the user's to mend, told in one line, 130 after
        Ctrl-C, or 143 after SIGTERM, which ends a command in the same way.
    """
    args = build_parser().parse_args(argv)
    with _terminable() as signals, _warnings_on_one_line():
        try:
            args.main(args)
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


@contextmanager
def _terminable():
    """Let SIGTERM, of a job scheduler for one, end a command as Ctrl-C does, and list it.

    Not where somebody else handles or ignores it, or in a thread, which cannot.
    """
    signals = []

    def interrupt(number, frame):
        signal.signal(number, signal.SIG_IGN)  # a second one does not disturb the end
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
def _warnings_on_one_line():
    """Lay warnings out on one line each: they may have names from files of strangers."""

    def format_warning(message, category, filename, lineno, line=None):
        return f"{category.__name__}: {printable(message)} ({filename}:{lineno})\n"

    formatwarning = warnings.formatwarning
    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        warnings.formatwarning = formatwarning
