"""The command line: one module per command, each with a parser, a worker and a main."""

import argparse
import os
import sys
import warnings

from sktagger import __version__
from sktagger._text import printable
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
        Exit status: 0, 1 after an error that is the user's to mend, told in one line, or 130 after
        Ctrl-C.
    """
    args = build_parser().parse_args(argv)
    # threads that wait by spinning slow each other down as soon as a core is busy otherwise, with
    # reading audio for one; it has to be said before PyTorch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    formatwarning = warnings.formatwarning
    warnings.formatwarning = _format_warning
    try:
        args.main(args)
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError, MemoryError) as error:
        print(f"sktagger {args.command}: error: {printable(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(printable(interrupt) if interrupt.args else "Interrupted.", file=sys.stderr)
        return 130
    finally:
        warnings.formatwarning = formatwarning
    return 0


def _format_warning(message, category, filename, lineno, line=None):
    """Lay a warning out on one line: it may have names from files of strangers."""
    return f"{category.__name__}: {printable(message)} ({filename}:{lineno})\n"
