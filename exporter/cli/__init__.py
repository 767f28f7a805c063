"""The command line: parse, call, print. The work is elsewhere.

Exit codes: 0 ok, 1 found a problem the command looks for, 2 usage or configuration, 3 could not reach something.
"""

from __future__ import annotations

import sys

from exporter.cli import bills, calibrate, doctor, looking, report, settings, testing, working  # noqa: F401 - they register their commands
from exporter.cli.common import app, err
from exporter.errors import ExporterError, Misconfigured
from exporter.terminal import say


def main() -> None:
    """Entry point: errors become one message on standard error and the documented exit code."""
    try:
        app()
    except ExporterError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(0)


def _complain(error: ExporterError) -> None:
    if isinstance(error, Misconfigured):
        count = len(error.problems)
        say(err, f"{count} problem{'s' * (count != 1)} in the settings:", "red")
        for problem in error.problems:
            say(err, problem, indent=2)
    else:
        say(err, str(error), "red")
    if error.hint:
        say(err, f"Try: {error.hint}")
