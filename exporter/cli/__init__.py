"""The command line: parse, call, print. The work is elsewhere.

Exit codes: 0 ok, 1 found a problem the command looks for, 2 usage or configuration, 3 could not reach something.
"""

from __future__ import annotations

import sys

from exporter.cli import bills, calibrate, doctor, looking, report, settings, testing, working  # noqa: F401 - they register their commands
from exporter.cli.common import app, err
from exporter.errors import ExporterError, Misconfigured


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
        err.print(f"[red]{len(error.problems)} problem(s) in the settings:[/red]", highlight=False)
        for problem in error.problems:
            err.print(f"  {problem}", highlight=False, markup=False)
    else:
        err.print(str(error), style="red", highlight=False, markup=False)
    if error.hint:
        err.print(f"Try: {error.hint}", highlight=False, markup=False)
