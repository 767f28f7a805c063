"""What a role may read on MySQL, which does not even name what it may not: checks, refusals, and grants that work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dify_tables import APP, new_id
from pymysql.err import OperationalError
from source_calls import settings

from exporter.destinations.base import Checked
from exporter.errors import SourceRefused
from exporter.sources import tracing
from exporter.sources.checks import check_source
from exporter.sources.database import open_database
from exporter.sources.schema import COLUMNS
from tests.contract.mariadb_server import MariadbServer
from tests.sources.mysql.conftest import MysqlDify


def lines(url: str) -> dict[str, Checked]:
    """The checks by name; names that repeat keep the last."""
    return {checked.name: checked for checked in check_source(settings(url))}


@pytest.fixture
def role(mysql: MariadbServer) -> Iterator[str]:
    """A user without rights or password."""
    name = f"reader_{new_id()[:8]}"
    mysql.run(f"CREATE USER '{name}'@'%'")
    yield name
    mysql.run(f"DROP USER '{name}'@'%'")


def run(mysql: MariadbServer, statements: str) -> None:
    mysql.run(*(statement for statement in statements.split(";") if statement.strip()))


def test_a_good_database_passes_every_check(dify: MysqlDify) -> None:
    dify.message()
    found = lines(dify.url)
    assert all(checked.ok for checked in found.values())
    assert found["database"].seen == f"connected to mysql://127.0.0.1:{dify.server.port}/{dify.name}"
    assert found["Dify version"].seen == "1.12.0–1.12.1 (migration 788d3099ae3a)"
    assert found["server"].seen.startswith("MariaDB 1")
    assert found["newest record"].seen == "messages 0 s ago, workflow_runs empty"


def test_whoever_could_write_is_told_how_to_make_a_role_that_may_only_read_and_that_role_works(
    mysql: MariadbServer, dify: MysqlDify
) -> None:
    hint = str(lines(dify.url)["read-only role"].hint)
    name = f"only_{new_id()[:8]}"
    run(mysql, hint.removeprefix("safer: ").replace("dify_exporter", name).replace("…", "secret"))
    found = lines(mysql.url(dify.name, name, "secret"))
    assert all(checked.ok for checked in found.values())
    assert found["read-only role"].seen == f"role {name}@% cannot write"
    mysql.run(f"DROP USER '{name}'@'%'")


def test_a_role_without_rights_is_told_the_grants_and_they_work(
    mysql: MariadbServer, dify: MysqlDify, role: str
) -> None:
    mysql.run(f"GRANT SELECT ON `{dify.name}`.`end_users` TO '{role}'@'%'")
    with pytest.raises(SourceRefused, match="may not read") as caught:
        open_database(settings(mysql.url(dify.name, role)))
    told = str(caught.value.hint)
    run(mysql, told[told.index("GRANT") :])
    open_database(settings(mysql.url(dify.name, role))).close()


def test_hidden_agent_rounds_are_refused_because_their_tokens_would_be_missing_in_silence(
    mysql: MariadbServer, dify: MysqlDify, role: str
) -> None:
    hint = str(lines(dify.url)["read-only role"].hint)
    grants = hint[hint.index("GRANT") :].replace("'dify_exporter'", f"'{role}'").split(";")
    run(mysql, ";".join(grant for grant in grants if "message_agent_thoughts" not in grant))
    found = lines(mysql.url(dify.name, role))["permissions"]
    assert not found.ok
    assert "message_agent_thoughts" in found.seen
    run(mysql, str(found.hint).partition("run: ")[2])
    assert lines(mysql.url(dify.name, role))["permissions"].ok


def test_hidden_tables_that_only_carry_names_are_a_remark(
    mysql: MariadbServer, dify: MysqlDify, role: str
) -> None:
    hint = str(lines(dify.url)["read-only role"].hint)
    grants = hint[hint.index("GRANT") :].replace("'dify_exporter'", f"'{role}'").split(";")
    run(mysql, ";".join(grant for grant in grants if "tenants" not in grant))
    found = lines(mysql.url(dify.name, role))
    assert found["permissions"].ok
    missing = [
        line.seen for line in check_source(settings(mysql.url(dify.name, role))) if line.name == "missing"
    ]
    assert "table tenants does not exist or is not granted: workspaces have no name" in missing


def test_the_role_of_the_documents_can_read_all_that_is_needed_and_nothing_else(
    mysql: MariadbServer, dify: MysqlDify
) -> None:
    document = (Path(__file__).parents[3] / "docs" / "install.md").read_text("utf-8")
    sql = document.partition("### On MySQL")[2].partition("```sql\n")[2].partition("```")[0]
    dify.run("CREATE TABLE accounts (id CHAR(36), password LONGTEXT)")
    for statement in filter(None, map(str.strip, sql.split(";"))):
        dify.run(statement)
    found = lines(mysql.url(dify.name, "dify_exporter", "change-me"))
    assert [line.seen for line in found.values() if not line.ok] == []
    assert found["permissions"].seen == f"role dify_exporter@% may read all {len(COLUMNS)} tables"
    assert found["read-only role"].hint is None
    with (
        mysql.connect(dify.name, user="dify_exporter", password="change-me") as role,
        role.cursor() as cursor,
        pytest.raises(OperationalError, match="denied"),
    ):
        cursor.execute("SELECT password FROM accounts")
    mysql.run("DROP USER 'dify_exporter'@'%'")


def test_another_database_fails_by_the_tables_it_lacks(mysql: MariadbServer) -> None:
    name = mysql.create(f"other_{new_id()[:8]}")
    found = lines(mysql.url(name))
    assert found["database"].ok
    assert not found["Dify tables"].ok
    assert "messages" in found["Dify tables"].seen
    mysql.run(f"DROP DATABASE `{name}`")


def prepared(dify: MysqlDify) -> None:
    """Dify's own tracing of one app to Langfuse, as its console sets it up."""
    dify.run(
        "CREATE TABLE trace_app_config (id CHAR(36) PRIMARY KEY, app_id CHAR(36), tracing_provider VARCHAR(255),"
        " tracing_config JSON, created_at DATETIME DEFAULT CURRENT_TIMESTAMP)"
    )
    dify.run("ALTER TABLE apps ADD COLUMN tracing LONGTEXT")
    dify.run(
        "UPDATE apps SET tracing = %s WHERE id = %s",
        json.dumps({"enabled": True, "tracing_provider": "langfuse"}),
        APP,
    )
    config = {"secret_key": "SFlC", "host": "http://langfuse:3000", "project_key": None,
              "project_url": "http://langfuse:3000/project/abc"}  # fmt: skip
    dify.insert(
        "trace_app_config", app_id=APP, tracing_provider="langfuse", tracing_config=json.dumps(config)
    )


def test_difys_own_tracing_is_seen(dify: MysqlDify, open_source: Any) -> None:
    prepared(dify)
    (traced,) = open_source(dify.url).tracing().apps
    assert (traced.provider, traced.project, traced.host) == ("langfuse", "abc", "http://langfuse:3000")
    assert tracing.ask(settings(dify.url)).apps == (traced,)


def test_a_closed_table_of_tracing_is_told_with_the_grant_that_opens_it(
    mysql: MariadbServer, dify: MysqlDify, role: str
) -> None:
    prepared(dify)
    columns = "id, tenant_id, name, mode, tracing"
    mysql.run(f"GRANT SELECT ({columns}) ON `{dify.name}`.apps TO '{role}'@'%'")
    told = str(tracing.ask(settings(mysql.url(dify.name, role))).vague)
    run(mysql, told[told.index("GRANT") :])
    found = tracing.ask(settings(mysql.url(dify.name, role)))
    assert (found.vague, found.apps[0].project) == (None, "abc")
