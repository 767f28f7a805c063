from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from exporter.config import IntakeSettings, WebSettings
from exporter.state.store import Store
from exporter.vendor.adapters import ADAPTERS
from exporter.web.app import build_app
from exporter.web.readiness import Readiness
from exporter.web.server import WebServer
from tests.web.intake_senders import SECRET, call, recorded_calls, refused, stored
from tests.web.traces_by_hand import NOON

Push = Callable[..., requests.Response]
GENERIC = "/v1/vendor-calls/generic"


class Arrivals:
    """Counts how often the daemon would be told to look."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()


@pytest.fixture
def push(store: Store, arrivals: Arrivals, ending: list[threading.Thread]) -> Any:
    """Posts a body to a running server; bytes as they are, anything else as JSON."""
    app = build_app(store, Readiness, WebSettings(), clock=lambda: NOON, arrived=arrivals)
    server = WebServer(app)
    port = server.start("127.0.0.1", 0)

    def post(body: object, path: str = GENERIC, **headers: str) -> requests.Response:
        return requests.post(
            f"http://127.0.0.1:{port}{path}",
            data=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            timeout=60,
        )

    yield post
    ending.append(threading.Thread(target=server.stop))
    ending[-1].start()


def told(answer: requests.Response, accepted: int, duplicates: int = 0, refused_total: int = 0) -> None:
    body = answer.json()
    assert (body["accepted"], body["duplicates"], body["refused_total"]) == (
        accepted,
        duplicates,
        refused_total,
    ), answer.text


def lines(*records: object) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


FORMS: dict[str, bytes] = {
    "one object": json.dumps(call(1)).encode(),
    "an object over several lines": json.dumps(call(1), indent=2).encode(),
    "an array": json.dumps([call(1), call(2), call(3)]).encode(),
    "an array over several lines": json.dumps([call(1), call(2), call(3)], indent=4).encode(),
    "an array of one": json.dumps([call(1)]).encode(),
    "JSON Lines": lines(call(1), call(2), call(3)),
    "JSON Lines without the last line end": lines(call(1), call(2), call(3))[:-1],
    "JSON Lines with Windows line ends": lines(call(1), call(2), call(3)).replace(b"\n", b"\r\n"),
    "JSON Lines with empty lines": lines(call(1)) + b"\n \n" + lines(call(2), call(3)),
    "values one after another": b"".join(json.dumps(call(n)).encode() for n in (1, 2, 3)),
    "arrays one after another": json.dumps([call(1)]).encode() + json.dumps([call(2), call(3)]).encode(),
    "lines of arrays": lines([call(1)], [call(2), call(3)]),
    "with a byte order mark": b"\xef\xbb\xbf" + json.dumps([call(1), call(2), call(3)]).encode(),
    "with space around": b" \r\n\t" + json.dumps([call(1), call(2), call(3)]).encode() + b"\n\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_body_is_understood_whatever_its_content_type_says(
    push: Push, store: Store, form: str
) -> None:
    count = FORMS[form].count(b'"started_at"')
    told(push(FORMS[form]), count)
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"):
        told(push(FORMS[form], Content_Type=content_type), 0, duplicates=count)
    assert {identity for _, identity in stored(store)} == {f"chatcmpl-{n}" for n in range(1, count + 1)}


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("identity", lambda body: body),
        ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:]) + b"\0" * 7),
    ],
)
def test_compressed_bodies_are_unpacked(
    push: Push, store: Store, coding: str, packed: Callable[[bytes], bytes]
) -> None:
    answer = push(packed(lines(*(call(number) for number in range(500)))), Content_Encoding=coding)
    told(answer, 500)
    assert len(stored(store)) == 500


def test_a_compressed_file_is_taken_without_being_announced(push: Push) -> None:
    told(push(gzip.compress(lines(call(1)))), 1)


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip", "compress", "\xe4"])
def test_another_compression_is_refused_with_those_that_are_understood(push: Push, coding: str) -> None:
    answer = push(b"...", Content_Encoding=coding)
    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "gzip, deflate"
    assert "gzip or deflate" in answer.json()["error"]


@pytest.mark.parametrize(
    ("coding", "body", "words"),
    [
        ("gzip", b"plain", "not valid gzip"),
        ("gzip", gzip.compress(b"{}" * 999, mtime=0)[:-9], "ends too early"),
        ("gzip", gzip.compress(b"{}" * 999, mtime=0)[:9], "ends too early"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more", "not valid gzip"),
        ("deflate", zlib.compress(b"{}" * 999)[:-5], "ends too early"),
        ("deflate", b"\xff\xff\xff", "not valid deflate"),
        ("gzip", b"", "empty"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_refused(push: Push, coding: str, body: bytes, words: str) -> None:
    answer = push(body, Content_Encoding=coding)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_pushing_again_stores_nothing_twice(push: Push, store: Store, arrivals: Arrivals) -> None:
    told(push([call(1), call(2)]), 2)
    told(push([call(2), call(3), call(3)]), 1, duplicates=2)
    told(push([call(1), call(2), call(3)]), 0, duplicates=3)
    assert len(stored(store)) == 3
    assert arrivals.count == 2, "only new records are a reason to look"


def test_one_bad_record_is_named_and_the_rest_kept(push: Push, store: Store, arrivals: Arrivals) -> None:
    answer = push([call(1), call(2, usage=None), 17, call(4, model=None), call(5)])
    assert answer.status_code == 200
    told(answer, 2, refused_total=3)
    assert [item["entry"] for item in answer.json()["refused"]] == [2, 3, 4]
    assert "usage is missing" in answer.json()["refused"][0]["reason"]
    assert {identity for _, identity in stored(store)} == {"chatcmpl-1", "chatcmpl-5"}
    assert arrivals.count == 1


def test_a_broken_line_is_named_and_the_other_lines_kept(push: Push, store: Store) -> None:
    whole = lines(call(1))
    answer = push(whole[: len(whole) // 2] + b"\n" + lines(call(2)) + b'{"id":\n' + lines(call(4)))
    assert answer.status_code == 200
    told(answer, 2, refused_total=2)
    assert answer.json()["refused"] == [
        {"entry": 1, "reason": "not valid JSON"},
        {"entry": 3, "reason": "not valid JSON"},
    ]


def test_a_broken_element_is_named_and_the_other_elements_kept(push: Push) -> None:
    body = b'[%b, {"id": nul}, %b]' % (lines(call(1)), lines(call(2)))
    told(push(body), 2, refused_total=1)


def test_a_body_of_nothing_but_bad_records_is_refused_and_counted(push: Push, store: Store) -> None:
    answer = push([{"id": 1}, {"id": 2}], GENERIC + "?source=gateway")
    assert answer.status_code == 422
    told(answer, 0, refused_total=2)
    assert stored(store) == {}
    assert [(source, reason) for source, _, reason in refused(store)] == [
        ("gateway", "started_at or ended_at is missing")
    ] * 2


def test_what_is_refused_is_stored_with_its_place_and_once_however_often_it_is_sent(
    push: Push, store: Store
) -> None:
    for _ in range(3):
        push([call(1), {"id": 1}, {"id": 2}])
    push([{"id": 3}])
    places = [place for _, place, _ in refused(store)]
    assert len(places) == 3
    assert all(place.startswith("push generic ") for place in places)
    assert sorted(place.rpartition(" ")[2] for place in places) == ["1", "2", "3"]


def test_a_hundred_refused_records_are_named_and_all_counted(push: Push, store: Store) -> None:
    answer = push([{"id": number} for number in range(250)])
    assert len(answer.json()["refused"]) == 100
    assert answer.json()["refused_total"] == 250
    assert len(refused(store)) == 250


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n",
        b"\xef\xbb\xbf",
        b"nonsense",
        b"[",
        b"{",
        b'{"id"',
        b'{"id":}',
        b'[{"id":1}',
        b'[{"id":1}}',
        b'{"id":1]',
        b'"text"',
        b"17",
        b"null",
        b"{},{}",
        b"\x00\x01\x02",
        b"\xff\xfe{\x00}\x00",
        b'{"id":"\xff"}',
        b'{"id":"a\x00b"}',
        b'"',
        b'{"a":"\\',
        b"]",
        b"<html></html>",
        b"a=1&b=2",
    ],
)
def test_what_is_no_json_is_refused_as_a_whole_in_words(push: Push, store: Store, body: bytes) -> None:
    answer = push(body)
    assert answer.status_code == 400
    assert "body" in answer.json()["error"]
    assert stored(store) == {}
    assert refused(store) == []


@pytest.mark.parametrize("body", [b"[]", b"[ ]", b"[][]", b"[]\n[]\n"])
def test_nothing_at_all_is_fine(push: Push, arrivals: Arrivals, body: bytes) -> None:
    told(push(body), 0)
    assert arrivals.count == 0


def nested(depth: int) -> bytes:
    inner = b"[" * depth + b"]" * depth
    return json.dumps(call(9, request=None)).encode()[:-1] + b', "request": {"messages": ' + inner + b"}}"


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (nested(150), "nested deeper than 100 levels"),
        (nested(200_000), "nested deeper than 100 levels"),
        (b'{"id":"\xff\xfe"}', "not valid UTF-8"),
        (b'{"id":"x\x00y"}', "not valid JSON"),
        (json.dumps(call(9, id="a\0b")).encode(), "cannot be printed"),
        (json.dumps(call(9, id="\ud800")).encode(), "id is not a text"),
        (json.dumps(call(9, id="i" * 5000)).encode(), "id is not a text"),
        (json.dumps(call(9, usage={"prompt_tokens": 10**18, "completion_tokens": 1})).encode(), ""),
        (json.dumps(call(9, usage={"prompt_tokens": 10**30, "completion_tokens": 1})).encode(), ""),
        (
            json.dumps(
                call(9, usage={"prompt_tokens": 2**63, "completion_tokens": 1}, user="\ud800")
            ).encode(),
            "",
        ),
        (json.dumps(call(9, http_status=2**63, response_text="\ud800")).encode(), ""),
        (json.dumps(call(9, attempt=2**64)).encode(), ""),
        (b'{"id":' + b"9" * 100_000 + b"}", "a number in it is too large"),
        (b'{"id":1e999}', "a number in it is too large"),
        (json.dumps(call(9, started_at="9" * 1000)).encode(), "started_at is not a time"),
        (b'{"a":' + b"0," * 2 + b"}", "not valid JSON"),
        (b"[" + b"1," * 1_000_001 + b"1]", "holds more than 1000000 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_a_hostile_record_is_refused_and_the_rest_kept(
    push: Push, store: Store, odd: bytes, reason: str
) -> None:
    answer = push(
        b"[" + json.dumps(call(1)).encode() + b"," + odd + b"," + json.dumps(call(3)).encode() + b"]"
    )
    assert answer.status_code == 200
    told(answer, 2, refused_total=1)
    (named,) = answer.json()["refused"]
    assert named["entry"] == 2
    assert reason in named["reason"]
    assert "fault" not in named["reason"]
    assert len(stored(store)) == 2


def test_half_surrogates_and_unknown_numbers_in_texts_do_not_cost_the_record(
    push: Push, store: Store
) -> None:
    """Gateways cut texts in the middle of a pair, and Python's writers put NaN where a number is not known."""
    cut = json.dumps(call(1, response_text="cut \ud83d", request={"messages": [], "top_p": float("nan")}))
    assert "NaN" in cut
    assert "\\ud83d" in cut
    told(push(cut.encode()), 1)
    told(push(json.dumps(call(2, response_text="nul \0 inside")).encode()), 1)


def test_more_records_than_are_taken_at_once_are_refused_with_words(push: Push, store: Store) -> None:
    for body in (b"[" + b"{}," * 20_000 + b"{}]", b"{}\n" * 20_001, b"{}" * 20_001, b"{}\nx\n" * 15_000):
        answer = push(body)
        assert answer.status_code == 413
        assert "20000" in answer.json()["error"]
    assert refused(store) == []


def test_twenty_thousand_records_are_taken_at_once(push: Push, store: Store) -> None:
    told(push(lines(*(call(number, request=None, response_text=None) for number in range(20_000)))), 20_000)


def test_the_source_is_the_addresses_then_the_records_then_the_formats(push: Push, store: Store) -> None:
    push([call(1), call(2, source="own name")])
    push([call(3), call(4, source="own name")], GENERIC + "?source=Gateway%20%E4%B8%80")
    assert set(stored(store)) == {
        ("generic", "chatcmpl-1"),
        ("own name", "chatcmpl-2"),
        ("Gateway 一", "chatcmpl-3"),
        ("Gateway 一", "chatcmpl-4"),
    }


@pytest.mark.parametrize(
    "name", ["", "%20", "%20x", "x%00y", "x%0Ay", "a" * 101, "%1b[31m", "%E2%80%AE", "%FF%FE%00"]
)
def test_a_source_that_cannot_be_shown_is_refused(push: Push, store: Store, name: str) -> None:
    answer = push([call(1)], f"{GENERIC}?source={name}")
    assert answer.status_code == 400
    assert "source must be a printable name of at most 100 characters" in answer.json()["error"]
    assert stored(store) == {}


@pytest.mark.parametrize("name", ["x\0y", "x\ny", "a" * 101, " x", "\x1b[31m"])
def test_a_record_whose_source_cannot_be_shown_is_refused(push: Push, name: str) -> None:
    answer = push([call(1), call(2, source=name)])
    told(answer, 1, refused_total=1)
    assert "source is not a printable name" in answer.json()["refused"][0]["reason"]


def test_the_recorded_calls_arrive_as_a_file_would_bring_them(
    push: Push, store: Store, tmp_path: Path
) -> None:
    """The other way in, a file, is read by code of its own and gives the same requests."""
    from exporter.vendor.pullers.files import read_file

    records = recorded_calls()
    assert len(records) > 20
    file = tmp_path / "recording.jsonl"
    file.write_bytes(lines(*records))
    push(lines(*records))
    expected = {(item.source, item.id): item for item in read_file(file, source="generic").records}
    assert stored(store) == expected


def test_no_text_is_kept(push: Push, store: Store) -> None:
    told(
        push([call(1), call(2, usage=None), {"request": SECRET}, call(4, tool_calls=[{"name": SECRET}])]),
        2,
        0,
        2,
    )
    assert SECRET.encode() not in b"".join(file.read_bytes() for file in store.path.parent.glob("state.db*"))


def test_nothing_of_a_body_comes_back_or_is_logged(push: Push, capfd: pytest.CaptureFixture[str]) -> None:
    answers = [
        push([call(1), call(2, usage=None), {SECRET: SECRET}, SECRET, [SECRET]]),
        push(json.dumps(call(3)).encode()[:-20]),
        push(SECRET.encode()),
        *(push([call(4, **{name: {SECRET: SECRET}})]) for name in call()),
        *(push([call(5, **{name: SECRET})]) for name in call()),
        push([call(6, model=SECRET * 50, source=SECRET + "\n")]),
        push([call(1)], "/v1/vendor-calls/" + SECRET),
        push([call(1)], Content_Encoding=SECRET),
        push([call(1)], f"{GENERIC}?source={SECRET}%00"),
    ]
    assert {answer.status_code for answer in answers} == {200, 400, 404, 415, 422}
    for answer in answers:
        assert SECRET not in answer.text
    written = capfd.readouterr()
    assert "vendor_records_refused" in written.out
    assert SECRET not in written.out + written.err


@pytest.mark.parametrize("path", [GENERIC, "/v1/traces"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_told_to_post(push: Push, path: str, method: str) -> None:
    address = push(b"[]").request.url or ""
    answer = requests.request(method, address.replace(GENERIC, path), timeout=30)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert method == "HEAD" or "POST" in answer.json()["error"]


def test_an_unknown_format_is_told_the_known_ones(push: Push) -> None:
    answer = push([call(1)], "/v1/vendor-calls/nonsense")
    assert answer.status_code == 404
    assert answer.json()["error"].endswith("known are " + ", ".join(sorted(ADAPTERS)))


def test_switched_off_the_addresses_do_not_exist(store: Store) -> None:
    settings = IntakeSettings(enabled=False)  # type: ignore[call-arg]
    server = WebServer(build_app(store, Readiness, WebSettings(), intake=settings))
    port = server.start("127.0.0.1", 0)
    for path in (GENERIC, "/v1/traces"):
        assert requests.post(f"http://127.0.0.1:{port}{path}", data=b"[]", timeout=30).status_code == 404
    server.stop()


@pytest.mark.parametrize("format", sorted(ADAPTERS))
@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b"[{}]", b'[null, 17, "x", [], {"a": {}}]', lines(call(1), call(2)), b"{", b"[[[[]]]]"],
)
def test_every_format_answers_whatever_is_sent(push: Push, format: str, body: bytes) -> None:
    answer = push(body, f"/v1/vendor-calls/{format}")
    assert answer.status_code in (200, 400, 422), answer.text
    assert "fault" not in answer.text
