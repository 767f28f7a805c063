"""Errors on the way into the database say what to do, never carry the password, and nothing can be written."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from dify_tables import Database, add_message, ago
from source_calls import ENCODED, PASSWORD, found_at_once, ids, refusal, settings, until_caught_up

from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.sources.connection import connect, database_url, reading
from exporter.sources.database import open_database
from exporter.sources.dialects.base import Unreadable


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_all_common_schemes_of_postgresql_are_accepted(dify: Database, scheme: str) -> None:
    open_database(settings(dify.url.replace("postgresql://", f"{scheme}://"))).close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///dify.db",
        f"http://user:{ENCODED}@host",
        f"user:{ENCODED}@host:5432/dify",
        " ",
        "postgresql://u:p@h:port/d",
    ],
)
def test_an_address_that_is_none_is_a_mistake_in_the_settings(url: str) -> None:
    assert "dify.database.url" in str(refusal(url, Misconfigured))


def test_an_unknown_option_in_the_address_is_a_mistake_in_the_settings(dify: Database) -> None:
    assert "colour" in str(refusal(f"{dify.url}&colour=blue", Misconfigured))


def test_a_missing_address_says_which_variable_to_set() -> None:
    with pytest.raises(Misconfigured, match=r"dify\.database\.url") as caught:
        database_url(settings("").database)
    assert "DIFY_DATABASE_URL" in str(caught.value.hint)


def test_a_refused_port_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refusal(f"postgresql://dify:{ENCODED}@127.0.0.1:{port}/dify", Unreachable)
    assert "refused" in str(error)
    assert error.retryable


def test_an_unknown_host_is_unreachable() -> None:
    assert "no-such-host.invalid" in str(
        refusal(f"postgresql://dify:{ENCODED}@no-such-host.invalid/dify", Unreachable)
    )


@pytest.mark.parametrize("host", ["a" * 70, "..no.host..", "one:1,two:2"])
def test_a_host_that_cannot_be_one_is_a_mistake_in_the_settings(host: str) -> None:
    assert "dify.database.url" in str(refusal(f"postgresql://dify:{ENCODED}@{host}/dify", Misconfigured))


def test_several_hosts_are_tried_in_turn(server: Any, dify: Database) -> None:
    name = dify.url.split("@/")[1].split("?")[0]
    open_database(
        settings(f"postgresql://postgres@/{name}?host=127.0.0.1,{server.socket}&port=1,5432")
    ).close()


def test_a_missing_socket_is_unreachable(tmp_path: Any) -> None:
    refusal(f"postgresql://dify:{ENCODED}@/dify?host={tmp_path}", Unreachable)


def test_a_server_that_never_answers_is_unreachable_after_the_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://dify:{ENCODED}@127.0.0.1:{silent.getsockname()[1]}/dify"
        assert "timeout" in str(refusal(url, Unreachable, connect_timeout="1s"))


@pytest.fixture
def password_role(server: Any) -> Iterator[str]:
    """A role that the server asks for its password."""
    hba = server.directory / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("local all needs_password scram-sha-256\n" + before)
    server.superuser.execute("DROP ROLE IF EXISTS needs_password")
    server.superuser.execute("CREATE ROLE needs_password LOGIN PASSWORD 'right'")
    server.superuser.execute("SELECT pg_reload_conf()")
    for _ in range(200):  # the reload takes effect a little later
        try:
            psycopg.connect(server.dsn("postgres", "needs_password") + " password=wrong").close()
        except psycopg.OperationalError:
            break
        time.sleep(0.05)
    yield "needs_password"
    hba.write_text(before)
    server.superuser.execute("SELECT pg_reload_conf()")
    server.superuser.execute("DROP ROLE needs_password")


def test_a_wrong_password_names_the_user_and_hides_the_password(server: Any, password_role: str) -> None:
    error = refusal(server.url("shape_1_12", password_role, ENCODED), SourceRefused)
    assert "password authentication failed" in str(error)
    assert password_role in str(error)
    assert "DB_PASSWORD" in str(error.hint)


def test_a_password_with_special_characters_works_when_it_is_percent_encoded(
    server: Any, password_role: str
) -> None:
    server.superuser.execute(f"ALTER ROLE needs_password PASSWORD '{PASSWORD}'")
    connect(settings(server.url("shape_1_12", password_role, ENCODED)).database).dispose()


def test_a_missing_database_names_it(server: Any) -> None:
    error = refusal(server.url("no_such_database"), SourceRefused)
    assert "no_such_database" in str(error)
    assert "DB_DATABASE" in str(error.hint)


def test_a_missing_role_names_it(server: Any) -> None:
    assert "nobody_here" in str(refusal(server.url("shape_1_12", "nobody_here", ENCODED), SourceRefused))


def test_a_role_that_may_not_connect_is_refused(server: Any, dify: Database) -> None:
    name = dify.url.split("@/")[1].split("?")[0]
    server.superuser.execute("DROP ROLE IF EXISTS stranger")
    server.superuser.execute("CREATE ROLE stranger LOGIN")
    server.superuser.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    assert "permission denied" in str(refusal(server.url(name, "stranger"), SourceRefused))


def test_nothing_can_be_written_through_our_connections(dify: Database) -> None:
    engine = connect(settings(dify.url).database)
    for attempt in ("INSERT INTO tenants (name) VALUES ('x')", "CREATE TABLE x (y int)", "DELETE FROM apps"):
        with pytest.raises(ExporterError, match="25006"), reading(engine, "trying to write") as connection:
            connection.execute(sa.text(attempt))
    raw = engine.raw_connection()
    raw.driver_connection.read_only = None  # as if the driver had not asked for it
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        raw.cursor().execute("DELETE FROM apps")
    raw.rollback()
    raw.close()
    engine.dispose()


def test_the_session_is_named_limited_and_in_utc(dify: Database) -> None:
    engine = connect(settings(dify.url, {"statement_timeout": "7s"}).database)
    names = (
        "application_name",
        "statement_timeout",
        "lock_timeout",
        "TimeZone",
        "transaction_isolation",
        "jit",
    )
    with reading(engine, "asking") as connection:
        found = {name: connection.execute(sa.text(f"SHOW {name}")).scalar_one() for name in names}
    assert found == {
        "application_name": "dify-exporter",
        "statement_timeout": "7s",
        "lock_timeout": "500ms",
        "TimeZone": "UTC",
        "transaction_isolation": "repeatable read",
        "jit": "off",
    }
    engine.dispose()


def test_options_of_the_address_are_kept_beside_ours(dify: Database) -> None:
    engine = connect(settings(f"{dify.url}&options=-c%20work_mem%3D5MB").database)
    with reading(engine, "asking") as connection:
        assert connection.execute(sa.text("SHOW work_mem")).scalar_one() == "5MB"
        assert connection.execute(sa.text("SHOW default_transaction_read_only")).scalar_one() == "on"
    engine.dispose()


def test_a_query_beyond_the_statement_timeout_is_worth_a_retry_and_names_the_setting(dify: Database) -> None:
    engine = connect(settings(dify.url, {"statement_timeout": "100ms"}).database)
    with (
        pytest.raises(Unreachable, match="statement_timeout") as caught,
        reading(engine, "waiting") as connection,
    ):
        connection.execute(sa.text("SELECT pg_sleep(5)"))
    assert "statement_timeout" in str(caught.value.hint)
    engine.dispose()


def test_text_that_does_not_decode_is_told_from_a_broken_connection(dify: Database) -> None:
    engine = connect(settings(dify.url).database)
    with pytest.raises(Unreadable, match="0xff"), reading(engine, "reading") as connection:
        connection.execute(sa.text("SELECT '\\xff'::bytea")).scalar_one().decode()
    engine.dispose()


def test_a_table_locked_by_a_migration_makes_us_step_back(dify: Database, open_source: Any) -> None:
    source = open_source(dify.url)
    migration = dify.transaction()
    migration.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(Unreachable, match="locked"):
        source.discover("messages", None)
    migration.rollback()
    assert source.discover("messages", None).caught_up


def test_a_connection_that_was_cut_is_replaced(server: Any, dify: Database, open_source: Any) -> None:
    source = open_source(dify.url)
    message = add_message(dify.connection, created_at=ago(minutes=1))
    server.superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dify-exporter'"
    )
    assert ids(until_caught_up(source, "messages")[0]) == [message]


def test_both_connections_can_be_used_at_the_same_time(dify: Database, open_source: Any) -> None:
    add_message(dify.connection, created_at=ago(minutes=1))
    assert found_at_once(open_source(dify.url), 6) == [1] * 6
