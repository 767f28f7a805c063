"""The SQL, the Compose file and the image in the documents do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from exporter import config
from exporter.demo.database import dify_database
from exporter.sources.checks import check_source
from exporter.sources.schema import COLUMNS

ROOT = Path(__file__).parents[2]


def role_sql() -> str:
    found = re.search(r"```sql\n(.*?)```", (ROOT / "docs" / "install.md").read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"][
        "dify-exporter"
    ]
    return service


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with dify_database() as address:
        with psycopg.connect(address) as connection:
            connection.execute(role_sql().encode())
            connection.execute(b"CREATE TABLE accounts (id uuid, password text)")
        yield address.replace("postgres@", "dify_exporter:change-me@")


def test_the_documented_role_can_read_all_that_is_needed_and_write_nothing(url: str) -> None:
    lines = {
        line.name: line
        for line in check_source(config.load(Path("/dev/null"), {}, {"dify.database.url": url}).settings.dify)
    }
    assert lines["permissions"].ok
    assert lines["read-only role"].hint is None
    assert [line.seen for line in lines.values() if not line.ok] == []


def test_the_documented_role_sees_nothing_else(url: str) -> None:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " AND has_table_privilege(oid, 'SELECT')"
        ).fetchall()
    assert {name for (name,) in rows} == set(COLUMNS)
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SELECT password FROM accounts")


def test_the_sidecar_is_locked_down_and_its_page_stays_on_this_machine() -> None:
    service = compose()
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["restart"] == "unless-stopped"
    assert "state:/var/lib/dify-exporter" in service["volumes"]


def test_the_sidecar_passes_on_every_variable_that_switches_a_destination_on() -> None:
    given = compose()["environment"]
    for name in (
        "LANGFUSE_PUBLIC_KEY",
        "LANGFUSE_SECRET_KEY",
        "LANGSMITH_API_KEY",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ):
        assert given[name] == f"${{{name}:-}}"


def test_empty_variables_of_the_sidecar_switch_nothing_on() -> None:
    environ = {name: "" if text.endswith(":-}") else text for name, text in compose()["environment"].items()}
    settings = config.load(Path("/dev/null"), environ).settings
    assert settings.destinations == []
    assert settings.resource == {}


def test_every_setting_that_the_image_makes_exists() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    environ = dict(re.findall(r"(DIFY_EXPORTER_[A-Z_]+)=(\S+)", image))
    settings = config.load(Path("/dev/null"), environ).settings
    assert settings.web.host == "0.0.0.0"
    assert str(settings.state.path) == "/var/lib/dify-exporter/state.db"
    for copied in re.findall(r"^COPY ([^-].*) \S+$", image, re.MULTILINE):
        assert all((ROOT / name).exists() for name in copied.split())
