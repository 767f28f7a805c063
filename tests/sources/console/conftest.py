"""A Console twin over the bundled recording, for tests that need no whole recording."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RecordedDify
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources
from tests.sources.console.restored import twin_of


@pytest.fixture
def twin(recorded_dify: RecordedDify) -> Iterator[ConsoleTwin]:
    """Fresh for each test: nothing asked, nothing wrong."""
    with twin_of(recorded_dify.url, "1.14.0") as served:
        yield served


@pytest.fixture
def sources() -> Iterator[Sources]:
    """Opens sources and closes them after the test."""
    opened = Sources()
    yield opened
    opened.close()
