"""Settings from the environment."""

from __future__ import annotations

import pytest

from exporter import config
from exporter.errors import Misconfigured

NOWHERE = {"DIFY_EXPORTER_CONFIG": "/dev/null"}


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    """Compose sets `${NAME:-}` to nothing when NAME is unknown."""
    empty = {"DIFY_EXPORTER_INTAKE_TOKEN": "", "DIFY_EXPORTER_WEB_PORT": ""}
    assert config.load(None, {**NOWHERE, **empty}).settings == config.load(None, NOWHERE).settings


def test_a_variable_sets_its_setting() -> None:
    settings = config.load(None, {**NOWHERE, "DIFY_EXPORTER_INTAKE_TOKEN": "secret"}).settings
    assert settings.intake.token.get_secret_value() == "secret"


def test_a_variable_of_no_setting_is_an_error() -> None:
    with pytest.raises(Misconfigured, match="DIFY_EXPORTER_TYPO"):
        config.load(None, {**NOWHERE, "DIFY_EXPORTER_TYPO": "1"})


def test_two_vendor_sources_need_two_names() -> None:
    two = [{"kind": "push", "name": "gw"}, {"kind": "push", "name": "gw"}]
    with pytest.raises(Misconfigured, match="two vendor sources are named 'gw'"):
        config.load(None, NOWHERE, {"vendor": two})
