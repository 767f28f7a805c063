from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path

import pytest
import requests

from exporter.config import WebSettings
from exporter.state.store import Store
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.intake_process import ServerProcess
from tests.web.intake_senders import call, recorded_calls, refused, stored

Held = tuple[set[tuple[str, str]], int]


def body(*numbers: int) -> bytes:
    return json.dumps([*(call(number) for number in numbers), {"id": "no record"}]).encode()


def held(state: Path) -> Held:
    """Keys of the records, and the number of refused ones, as the next start finds them."""
    store = Store(state)
    found = set(stored(store)), len(refused(store))
    store.close()
    return found


def keys(*numbers: int) -> set[tuple[str, str]]:
    return {("generic", f"chatcmpl-{number}") for number in numbers}


def test_what_was_answered_with_200_survives_kill_9(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    for number in range(5):
        with ServerProcess(state) as server:
            assert server.push(body(number)).status_code == 200
            server.process.kill()
            server.process.wait()
        assert held(state) == (keys(*range(number + 1)), number + 1)


def test_killed_before_the_commit_nothing_is_there_and_the_sender_may_send_again(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with ServerProcess(state, die_at="before push") as server, pytest.raises(requests.ConnectionError):
        server.push(body(1, 2))
    assert held(state) == (set(), 0)
    with ServerProcess(state) as server:
        assert server.push(body(1, 2)).json()["accepted"] == 2
    assert held(state) == (keys(1, 2), 1)


def test_killed_between_commit_and_answer_everything_is_there_once(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with ServerProcess(state, die_at="after push") as server, pytest.raises(requests.ConnectionError):
        server.push(body(1, 2))
    assert held(state) == (keys(1, 2), 1)
    with ServerProcess(state) as server:
        again = server.push(body(1, 2)).json()
        assert (again["accepted"], again["duplicates"], again["refused_total"]) == (0, 2, 1)
    assert held(state) == (keys(1, 2), 1)


def test_on_a_full_disk_nothing_is_stored_and_the_sender_is_told_to_come_again(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with ServerProcess(state) as server:
        assert server.push(body(1)).status_code == 200
        server.tell("disk full")
        for form in ("/v1/vendor-calls/generic", "/v1/vendor-calls/generic?source=other"):
            answer = server.push(json.dumps([call(n) for n in range(2, 400)]).encode(), form)
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert "nothing of this body was stored" in answer.json()["error"]
        spans = server.push(
            b'{"resourceSpans":[{"scopeSpans":[{"spans":["no span"]}]}]}',
            "/v1/traces",
            Content_Type="application/json",
        )
        assert spans.status_code == 503
        assert "Retry-After" in spans.headers
        only_refused = server.push(b"[{}, {}]")
        assert only_refused.status_code == 503, "a refusal that could not be stored was not counted"
        server.tell("disk free")
        assert server.push(body(2)).json()["accepted"] == 1
    assert held(state) == (keys(1, 2), 2)


def test_a_state_file_that_is_closed_or_damaged_is_told_to_the_sender(
    tmp_path: Path, ending: list[threading.Thread]
) -> None:
    store = Store(tmp_path / "state.db")
    server = WebServer(build_app(store, Readiness, WebSettings()))
    address = f"http://127.0.0.1:{server.start('127.0.0.1', 0)}/v1/vendor-calls/generic"
    store.close()
    answer = requests.post(address, data=body(1), timeout=60)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    ending.append(threading.Thread(target=server.stop))
    ending[-1].start()


def test_while_another_writes_the_sender_waits_and_is_then_served(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    with ServerProcess(state) as server:
        other = sqlite3.connect(state, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answers: list[int] = []
        sender = threading.Thread(target=lambda: answers.append(server.push(body(1)).status_code))
        sender.start()
        sender.join(1.0)
        assert answers == []
        other.execute("COMMIT")
        sender.join()
        other.close()
        assert answers == [200]
    assert held(state) == (keys(1), 1)


def test_fifty_senders_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Each sends a batch of its own and one that all others send too."""
    records = recorded_calls()
    state = tmp_path / "state.db"
    answers: list[requests.Response] = []
    with ServerProcess(state) as server:

        def send(number: int) -> None:
            own = [{**record, "id": f"{number}-{record['id']}"} for record in records[:20]]
            answers.append(server.push("\n".join(json.dumps(item) for item in own + records).encode()))

        senders = [threading.Thread(target=send, args=(number,)) for number in range(50)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert [answer.status_code for answer in answers] == [200] * 50
    assert sum(answer.json()["refused_total"] for answer in answers) == 0
    shared = {record["id"] for record in records}
    expected = {f"{number}-{record['id']}" for number in range(50) for record in records[:20]} | shared
    found, _ = held(state)
    assert {identity for _, identity in found} == expected
    assert sum(answer.json()["accepted"] for answer in answers) == len(found)
