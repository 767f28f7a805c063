"""What `check` says of the database, line by line."""

from __future__ import annotations

from typing import Any

from dify_tables import Database, add_message, ago, new_id
from source_calls import settings

from exporter.destinations.base import Checked
from exporter.sources.checks import check_source


def lines(url: str, **database: Any) -> dict[str, Checked]:
    """The checks by name; names that repeat keep the last."""
    return {checked.name: checked for checked in check_source(settings(url, database))}


def test_a_good_database_passes_every_check(dify: Database) -> None:
    add_message(dify.connection, created_at=ago(hours=5))
    found = lines(dify.url)
    assert all(checked.ok for checked in found.values())
    assert found["Dify version"].seen == "1.12.0–1.12.1 (migration 788d3099ae3a)"
    assert found["permissions"].seen == "role postgres may read all 15 tables"
    assert found["newest record"].seen == "messages 5 h ago, workflow_runs empty"
    assert "PostgreSQL 1" in found["server"].seen


def test_a_superuser_is_told_how_to_make_a_role_that_may_only_read_and_that_role_works(
    server: Any, dify: Database
) -> None:
    hint = str(lines(dify.url)["read-only role"].hint)
    role = f"dify_exporter_{new_id()[:8]}"
    create, grants = hint.removeprefix("safer: ").split(";", 1)
    dify.connection.execute(create.replace("dify_exporter", role))  # type: ignore[call-overload]
    dify.connection.execute(grants.replace("dify_exporter", role))  # type: ignore[call-overload]
    found = lines(dify.url.replace("//postgres@", f"//{role}@"))
    assert all(checked.ok for checked in found.values())
    assert found["read-only role"] == Checked("read-only role", True, f"role {role} cannot write")
    dify.connection.execute(f"DROP OWNED BY {role}")  # type: ignore[call-overload]


def test_missing_permissions_fail_with_the_grant_to_run(server: Any, dify: Database) -> None:
    role = f"reader_{new_id()[:8]}"
    server.superuser.execute(f"CREATE ROLE {role} LOGIN")
    dify.connection.execute(f"GRANT SELECT ON apps, messages TO {role}")  # type: ignore[call-overload]
    found = lines(dify.url.replace("//postgres@", f"//{role}@"))
    assert not found["permissions"].ok
    assert "workflow_runs" in found["permissions"].seen
    assert f'TO "{role}"' in str(found["permissions"].hint)
    assert "Dify version" not in found


def test_closed_tables_that_only_carry_names_are_a_remark_and_no_failure(server: Any, dify: Database) -> None:
    role = f"reader_{new_id()[:8]}"
    server.superuser.execute(f"CREATE ROLE {role} LOGIN")
    dify.connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")  # type: ignore[call-overload]
    dify.connection.execute(f"REVOKE SELECT ON tenants FROM {role}")  # type: ignore[call-overload]
    found = lines(dify.url.replace("//postgres@", f"//{role}@"))
    assert found["permissions"].ok
    assert found["permissions"].seen.endswith("may not read tenants")
    assert "workspaces have no name" in found["missing"].seen


def test_another_database_fails_by_the_tables_it_lacks(server: Any) -> None:
    found = lines(server.url("postgres"))
    assert found["database"].ok
    assert not found["Dify tables"].ok
    assert "messages" in found["Dify tables"].seen


def test_an_unreachable_or_unusable_address_is_one_failed_line() -> None:
    for url in ("postgresql://dify:hidden-pass@127.0.0.1:1/dify", "mysql://dify:hidden-pass@db/dify", ""):
        (checked,) = check_source(settings(url))
        assert (checked.name, checked.ok) == ("database", False)
        assert checked.hint
        assert "hidden-pass" not in checked.seen + checked.hint


def test_an_old_dify_is_told_about_its_missing_indexes(old_dify: Database) -> None:
    checked = check_source(settings(old_dify.url))
    assert all(one.ok for one in checked)
    assert any("runs by time" in one.seen for one in checked if one.name == "index")


def test_runs_kept_outside_of_the_database_are_a_failure(dify: Database) -> None:
    add_message(dify.connection, workflow_run_id=new_id())
    assert not lines(dify.url)["runs"].ok
