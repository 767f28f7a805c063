"""Getting into the Console API as each version wants it, and never trying a failed login a second time."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.errors import Misconfigured, SourceRefused, Unreachable
from exporter.sources import choice
from exporter.sources.console.checks import check_console
from tests.conftest import RecordedDify
from tests.contract.console_twin import ConsoleTwin
from tests.sources.console.console_sources import Sources, fetched, found
from tests.sources.console.restored import PASSWORD, console, settings, twin_of

KEY = "an-admin-key-of-forty-characters-or-more"


@pytest.mark.parametrize("version", ["0.15.3", "1.9.1", "1.9.2", "1.11.1", "1.11.2", "1.14.2", "1.17.1"])
def test_every_version_lets_us_in_with_one_login(
    version: str, recorded_dify: RecordedDify, sources: Sources
) -> None:
    with twin_of(recorded_dify.url, version) as twin:
        source = sources.open(twin)
        assert dict(source.describe())["Dify"] == f"{version} (Console API)"
        assert (twin.good_logins, twin.failed_logins) == (len(twin.logins), 0)
        assert fetched(source, found(source)).traces
        assert twin.changes == []


def test_a_wrong_password_is_tried_once_and_never_again_by_any_process(
    twin: ConsoleTwin, sources: Sources, tmp_path: Path
) -> None:
    refusals = tmp_path / "logins"
    wrong = {"accounts": [], "email": next(iter(twin.logins)), "password": "wrong"}
    for _ in range(4):  # Sources.open forgets what the process knows, as a restart does
        with pytest.raises(SourceRefused, match="wrong e-mail or password"):
            sources.open(twin, refusals, **wrong)
    assert twin.failed_logins == 1
    assert refusals.stat().st_mode & 0o777 == 0o600
    assert "wrong" not in refusals.read_text("utf-8").replace("wrong e-mail or password", "")


def test_a_corrected_password_is_tried_at_once(twin: ConsoleTwin, sources: Sources, tmp_path: Path) -> None:
    refusals = tmp_path / "logins"
    email = next(iter(twin.logins))
    with pytest.raises(SourceRefused):
        sources.open(twin, refusals, accounts=[], email=email, password="wrong")
    assert sources.open(twin, refusals).streams


def test_one_wrong_account_does_not_stop_the_other_workspaces(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin, email="nobody@example.com", password="wrong")
    facts = dict(source.describe())
    assert facts["refused 1"] == "login as nobody@example.com failed: wrong e-mail or password"
    assert source.streams
    assert twin.failed_logins == 1


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("sso_only", "single sign-on only"),
        ("locked", "locked after too many failures"),
        ("nameless", "X-Version"),
    ],
)
def test_a_login_that_cannot_work_is_named(
    twin: ConsoleTwin, sources: Sources, trouble: str, words: str
) -> None:
    setattr(twin.trouble, trouble, True)
    with pytest.raises(SourceRefused, match=words):
        sources.open(twin)
    assert twin.good_logins == 0


def test_a_single_sign_on_installation_is_not_even_tried(twin: ConsoleTwin, sources: Sources) -> None:
    twin.trouble.sso_only = True
    with pytest.raises(SourceRefused):
        sources.open(twin)
    assert twin.paths("/login") == []


def test_where_a_proxy_takes_the_version_away_it_can_be_told(twin: ConsoleTwin, sources: Sources) -> None:
    twin.trouble.nameless = True
    assert sources.open(twin, version="1.14.0").streams


def test_a_proxys_page_is_no_failed_login(twin: ConsoleTwin, sources: Sources, tmp_path: Path) -> None:
    twin.trouble.html = 1
    with pytest.raises(Unreachable, match="HTML"):
        sources.open(twin, tmp_path / "logins")
    assert sources.open(twin, tmp_path / "logins").streams


def test_an_expired_pass_is_renewed_without_a_login(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    logins = twin.good_logins
    twin.revoke()
    assert found(source)
    assert twin.good_logins == logins
    assert twin.failed_logins == 0


def test_a_revoked_session_is_opened_anew_by_one_login(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    logins = twin.good_logins
    twin.revoke(refresh=True)
    assert found(source)
    assert twin.good_logins == logins + len(twin.logins)


def test_a_password_changed_under_us_fails_once_and_the_other_workspace_is_read(
    recorded_dify: RecordedDify, sources: Sources
) -> None:
    with twin_of(recorded_dify.url, "1.14.0", admin_key=KEY) as twin:
        email, login = next(iter(twin.logins.items()))
        (other, *_) = [row["id"] for row in twin.rows.tables["tenants"] if row["id"] != login.tenant_id] or [
            login.tenant_id
        ]
        source = sources.open(
            twin, accounts=None, email=email, password=PASSWORD, admin_key=KEY, workspaces=[other]
        )
        login.password = "changed"
        twin.revoke(refresh=True)
        for _ in range(3):
            found(source)
        assert twin.failed_logins == 1
        assert "wrong e-mail or password" in dict(source.describe())["refused 1"]
        assert {app["tenant_id"] for app in twin.rows.tables["apps"]} >= {other}


def test_the_last_account_that_is_locked_out_ends_the_reading(twin: ConsoleTwin, sources: Sources) -> None:
    source = sources.open(twin)
    streams = source.streams
    for login in twin.logins.values():
        login.password = "changed"
    twin.revoke(refresh=True)
    with pytest.raises(SourceRefused, match="wrong e-mail or password"):
        [source.discover(stream, None) for stream in streams * 2]
    assert twin.failed_logins == len(twin.logins)


def test_the_admin_key_reads_several_workspaces_without_a_login(
    recorded_dify: RecordedDify, sources: Sources
) -> None:
    with twin_of(recorded_dify.url, "1.14.0", admin_key=KEY) as twin:
        tenants = [row["id"] for row in twin.rows.tables["tenants"]]
        source = sources.open(twin, accounts=None, admin_key=KEY, workspaces=tenants)
        by_key = found(source)
        assert by_key.keys() == found(sources.open(twin)).keys()
        assert twin.paths("/login") == ["/console/api/login"] * len(tenants)  # those of the second source


def test_a_wrong_admin_key_is_named(twin: ConsoleTwin, sources: Sources) -> None:
    with pytest.raises(SourceRefused, match="admin key"):
        sources.open(
            twin, accounts=None, admin_key="wrong", workspaces=["1b888016-f16a-4a7d-bc66-b6fa21f2ac04"]
        )


def test_no_secret_is_told(twin: ConsoleTwin, sources: Sources, tmp_path: Path) -> None:
    wanted = settings(tmp_path, dify__console=console(twin))
    told = (
        repr(wanted)
        + repr(wanted.model_dump())
        + " ".join(" ".join(pair) for pair in sources.open(twin).describe())
    )
    for login in twin.logins.values():
        assert login.password not in told


def test_check_tells_who_lets_us_in_and_what_cannot_be_seen(twin: ConsoleTwin, tmp_path: Path) -> None:
    lines = {line.name: line for line in check_console(settings(tmp_path, dify__console=console(twin)).dify)}
    assert all(line.ok for line in lines.values())
    assert lines["cannot see: single-step runs"].seen == "not seen"
    assert "can be listed" in lines["conversations"].seen
    twin.trouble.forbidden = {row["id"] for row in twin.rows.tables["apps"]}
    lines = {line.name: line for line in check_console(settings(tmp_path, dify__console=console(twin)).dify)}
    assert lines["conversations"].hint == "the account needs the role editor"
    assert twin.changes == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "dify.database.url: is required"),
        ({"dify__database__url": "postgresql://h/d", "dify__console": {"url": "http://h", "email": "a@b", "password": "p"}},
         "dify.database.url and dify.console.url are set"),
        ({"dify__database__url": "postgresql://h/d", "dify__apps": [{"url": "http://h/v1", "key": "app-1"}]},
         "dify.database.url and dify.apps are set"),
    ],
)  # fmt: skip
def test_exactly_one_source_is_chosen(given: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=words):
        choice.chosen(settings(tmp_path, **given).dify)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "dify.example.com", "email": "a@b", "password": "p"},
        {"url": "https://me:secret@dify.example.com", "email": "a@b", "password": "p"},
        {"url": "https://dify.example.com"},
        {"url": "https://dify.example.com", "email": "a@b"},
        {"url": "https://dify.example.com", "admin_key": "k"},
        {
            "url": "https://dify.example.com",
            "email": "a@b",
            "password": "p",
            "workspaces": ["w"],
        },
        {"url": "https://dify.example.com", "email": "a@b", "password": "p", "version": "newest"},
    ],
)
def test_console_settings_that_cannot_work_are_errors_at_start(
    given: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(Misconfigured, match=r"dify\.console"):
        settings(tmp_path, dify__console=given)


def test_the_address_may_be_written_with_or_without_the_apis_path(tmp_path: Path) -> None:
    for url in (
        "https://dify.example.com",
        "https://dify.example.com/",
        "https://dify.example.com/console/api",
    ):
        found_url = settings(
            tmp_path, dify__console={"url": url, "email": "a@b", "password": "p"}
        ).dify.console.url
        assert found_url == "https://dify.example.com"
