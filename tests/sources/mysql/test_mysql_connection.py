"""On MySQL too: errors say what to do and keep the password, nothing can be written, and Dify is never held up."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from source_calls import ENCODED, PASSWORD, found_at_once, ids, refusal, settings, until_caught_up

from exporter.errors import ExporterError, Misconfigured, SourceRefused, Unreachable
from exporter.sources.connection import connect, reading
from exporter.sources.database import open_database
from exporter.sources.dialects.mysql.catalogue import product_words
from tests.contract.mariadb_server import CERTIFICATE, MariadbServer
from tests.sources.mysql.conftest import MysqlDify


@contextmanager
def user(mysql: MariadbServer, name: str, password: str) -> Iterator[None]:
    mysql.run(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'")
    yield
    mysql.run(f"DROP USER '{name}'@'%'")


@pytest.mark.parametrize("scheme", ["mysql", "mysql+pymysql", "mariadb", "oceanbase"])
def test_all_common_schemes_are_accepted(dify: MysqlDify, scheme: str) -> None:
    open_database(settings(dify.url.replace("mysql://", f"{scheme}://"))).close()


def test_a_wrong_password_names_the_user_and_hides_the_password(
    mysql: MariadbServer, dify: MysqlDify
) -> None:
    with user(mysql, "asked", "right"):
        error = refusal(mysql.url(dify.name, "asked", ENCODED), SourceRefused)
    assert "Access denied for user 'asked'" in str(error)
    assert "DB_PASSWORD" in str(error.hint)


def test_a_password_with_special_characters_works_when_it_is_percent_encoded(
    mysql: MariadbServer, dify: MysqlDify
) -> None:
    with user(mysql, "special", PASSWORD):
        mysql.run(f"GRANT SELECT ON `{dify.name}`.* TO 'special'@'%'")
        connect(settings(mysql.url(dify.name, "special", ENCODED)).database).dispose()


def test_a_missing_database_names_it(mysql: MariadbServer) -> None:
    error = refusal(mysql.url("no_such_database"), SourceRefused)
    assert "no_such_database" in str(error)
    assert "DB_DATABASE" in str(error.hint)


def test_an_address_without_a_database_is_a_mistake_in_the_settings(mysql: MariadbServer) -> None:
    assert "names no database" in str(refusal(mysql.url("").rstrip("/"), Misconfigured))


def test_a_refused_port_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refusal(f"mysql://dify:{ENCODED}@127.0.0.1:{port}/dify", Unreachable)
    assert error.retryable


def test_an_unknown_host_is_unreachable() -> None:
    error = refusal(f"mysql://dify:{ENCODED}@no-such-host.invalid/dify", Unreachable)
    assert "no-such-host.invalid" in str(error)


def test_a_server_that_never_greets_is_unreachable_after_a_while() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql://dify:{ENCODED}@127.0.0.1:{silent.getsockname()[1]}/dify"
        refusal(url, Unreachable, connect_timeout="1s", statement_timeout="0.1s")


def test_an_unknown_option_in_the_address_is_a_mistake_in_the_settings(dify: MysqlDify) -> None:
    assert "colour" in str(refusal(f"{dify.url}?colour=blue", Misconfigured))


def test_a_missing_certificate_file_is_a_mistake_in_the_settings(dify: MysqlDify) -> None:
    assert "nowhere.pem" in str(refusal(f"{dify.url}?ssl_ca=/nowhere.pem", Misconfigured))


def test_tls_is_used_when_an_authority_is_named_and_only_with_a_certificate_of_it(
    mysql: MariadbServer, dify: MysqlDify, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.pem"
    stranger.write_text(unknown_authority())
    with user(mysql, "careful", "right"):
        mysql.run("ALTER USER 'careful'@'%' REQUIRE SSL", f"GRANT SELECT ON `{dify.name}`.* TO 'careful'@'%'")
        url = mysql.url(dify.name, "careful", "right")
        assert "CERTIFICATE_VERIFY_FAILED" in str(refusal(f"{url}?ssl_ca={stranger}", Unreachable))
        open_database(settings(f"{url}?ssl_ca={CERTIFICATE}")).close()


def unknown_authority() -> str:
    """A certificate that signed nothing here."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_without_the_driver_the_package_to_install_is_named() -> None:
    code = (
        "import sys; sys.modules['pymysql'] = None\n"
        "from exporter.config import DatabaseSettings\n"
        "from exporter.errors import Misconfigured\n"
        "from exporter.sources.connection import connect\n"
        "try: connect(DatabaseSettings(url='mysql://a:b@127.0.0.1:1/dify'))\n"
        "except Misconfigured as error: print(error, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'dify-exporter[mysql]'" in done.stdout


def test_nothing_can_be_written_through_our_connections(dify: MysqlDify) -> None:
    engine = connect(settings(dify.url).database)
    for attempt in (
        "INSERT INTO tenants (id) VALUES ('x')",
        "DELETE FROM apps",
        "UPDATE apps SET name = 'x'",
    ):
        with pytest.raises(ExporterError, match="1792"), reading(engine, "trying to write") as connection:
            connection.execute(sa.text(attempt))
    engine.dispose()


def test_the_session_is_limited_and_reads_one_moment(dify: MysqlDify) -> None:
    engine = connect(settings(dify.url, {"statement_timeout": "7s"}).database)
    names = (
        "max_statement_time",
        "lock_wait_timeout",
        "wait_timeout",
        "transaction_isolation",
        "transaction_read_only",
    )
    asked = sa.text(f"SHOW SESSION VARIABLES WHERE Variable_name IN {names}")
    with reading(engine, "asking") as connection:
        found = {name.lower(): value for name, value in connection.execute(asked)}
        before = connection.execute(sa.text("SELECT COUNT(*) FROM messages")).scalar_one()
        dify.message()
        after = connection.execute(sa.text("SELECT COUNT(*) FROM messages")).scalar_one()
    assert before == after
    assert float(found["max_statement_time"]) == 7
    assert (found["lock_wait_timeout"], found["wait_timeout"]) == ("1", "60")
    engine.dispose()


def test_a_query_beyond_the_statement_timeout_is_worth_a_retry_and_names_the_setting(
    dify: MysqlDify,
) -> None:
    engine = connect(settings(dify.url, {"statement_timeout": "100ms"}).database)
    with (
        pytest.raises(Unreachable, match="statement_timeout"),
        reading(engine, "waiting") as connection,
    ):
        connection.execute(sa.text("SELECT COUNT(*) FROM seq_1_to_10000000 a, seq_1_to_1000 b"))
    engine.dispose()


def test_a_table_locked_by_a_migration_makes_us_step_back(dify: MysqlDify, open_source: Any) -> None:
    source = open_source(dify.url)
    migration = dify.other()
    with migration.cursor() as cursor:
        cursor.execute("LOCK TABLES messages WRITE")
        with pytest.raises(Unreachable, match="locked"):
            source.discover("messages", None)
        cursor.execute("UNLOCK TABLES")
    assert source.discover("messages", None).caught_up


def test_a_connection_that_was_cut_is_replaced(
    mysql: MariadbServer, dify: MysqlDify, open_source: Any
) -> None:
    source = open_source(dify.url)
    message = dify.message(created_at="2026-01-01 00:00:00")
    for (number,) in dify.run(
        "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()", dify.name
    ):
        mysql.run(f"KILL {number}")
    assert ids(until_caught_up(source, "messages")[0]) == [message]


def test_both_connections_can_be_used_at_the_same_time(dify: MysqlDify, open_source: Any) -> None:
    dify.message(created_at="2026-01-01 00:00:00")
    assert found_at_once(open_source(dify.url), 6) == [1] * 6


def test_an_upgrade_under_us_is_noticed(dify: MysqlDify, open_source: Any) -> None:
    source = open_source(dify.url)
    dify.message(created_at="2026-01-01 00:00:00")
    refs, _ = until_caught_up(source, "messages")
    dify.run("ALTER TABLE messages DROP COLUMN invoke_from")
    (trace,) = source.fetch(tuple(refs)).traces
    assert trace.message.invoke_from is None
    assert "messages has no readable" in dict(source.describe())["missing"]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("10.11.19-MariaDB-0+deb12u1", "MariaDB 10.11.19"),
        ("8.0.41", "MySQL 8.0.41"),
        ("8.0.36-28", "MySQL 8.0.36"),
        ("5.7.25-OceanBase-v4.3.5.0", "OceanBase (5.7.25-OceanBase-v4.3.5.0)"),
    ],
)
def test_servers_of_the_family_are_called_by_their_names(version: str, words: str) -> None:
    assert product_words(version) == words
