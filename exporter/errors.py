"""The error tree. Whether a retry can help is a property of the type, never of the text.

    ExporterError
    ├── Misconfigured      the settings are wrong; a retry with the same settings fails again
    ├── StateRefused       the state file is damaged, foreign or in use; we never start it over by ourselves
    ├── Unreachable        a connection failed; retryable
    ├── Stopped            reading Dify is stopped by back-pressure; retryable
    └── SourceRefused      the source answers but will not let us read (not a Dify database, permission missing)

Every message says what was being done, why it failed and what to try. None carries a secret or prompt text.
"""

from __future__ import annotations


class ExporterError(Exception):
    """Base of all errors this program raises on purpose.

    `hint` is the sentence printed after "Try:"; `exit_code` follows the command line contract.
    """

    retryable = False
    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class Misconfigured(ExporterError):
    """The settings cannot work. `problems` holds every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: list[str], hint: str | None = None) -> None:
        super().__init__("\n".join(problems), hint)
        self.problems = problems


class StateRefused(ExporterError):
    """The state file cannot be used as it is (damaged, newer, foreign, locked by another daemon)."""

    exit_code = 2


class Unreachable(ExporterError):
    """Something we connect to did not answer."""

    retryable = True
    exit_code = 3


class Stopped(ExporterError):
    """Reading Dify is stopped by back-pressure; it goes on by itself when there is room again."""

    retryable = True


class SourceRefused(ExporterError):
    """The source answered, but what we need is not there or not readable."""

    retryable = True
    exit_code = 3
