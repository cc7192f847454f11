# PYTHON_ARGCOMPLETE_OK
"""Run the command line as ``python -m sktagger``."""

from sktagger.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
