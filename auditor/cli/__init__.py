"""The command line: `main` is the command `auditor`, whose parts are in `commands` and `runs`."""

from auditor.cli.commands import main

__all__ = ["main"]
