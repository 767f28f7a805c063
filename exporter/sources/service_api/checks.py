"""What `dify-exporter check` says of the Service API: which keys are accepted, and that only totals can be read."""

from __future__ import annotations

from exporter.config import DifySettings
from exporter.destinations.base import Checked
from exporter.errors import ExporterError
from exporter.sources.service_api.source import open_service_api


def check_service_api(dify: DifySettings) -> list[Checked]:
    """One line per thing tested. Raises nothing of its own."""
    try:
        source = open_service_api(dify)
    except ExporterError as error:
        return [Checked("service API", False, str(error), error.hint)]
    try:
        return [
            Checked(name, not name.startswith(("refused", "trouble")), words)
            for name, words in source.describe()
        ]
    finally:
        source.close()
