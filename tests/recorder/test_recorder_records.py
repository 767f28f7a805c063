"""What the recorder writes down equals what the vendor's own log says, for every call of the recordings."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard
from convert_recording import canonical
from recorder_rig import (
    STREAM_HEAD,
    Seen,
    answer,
    ask,
    chunk,
    connected,
    post,
    read_answer,
    recorder,
    records,
    vendor,
)
from speaking_vendor import speak

from exporter.vendor.record import VendorCall, parse

LINES = Path(__file__).with_name("vendor-lines.jsonl")
KEY = b"Authorization: Bearer sk-very-secret-1234567890"


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as log:
        for text in log:
            yield json.loads(text)


def _recorded(
    tmp_path: Path, lines: list[dict[str, Any]], expected: int
) -> tuple[dict[int, dict[str, Any]], dict]:
    """The records by the number of their line, and the health answer at the end. Every call goes through one caller."""
    by_number = {line["seq"]: line for line in lines}
    by_id = {}
    with (
        vendor(lambda seen, connection: speak(by_number, seen, connection)) as up,
        recorder(tmp_path, up.url) as running,
        connected(running.port) as caller,
    ):
        reader = caller.makefile("rb")
        for line in lines:
            body = json.dumps(line["request"], ensure_ascii=False).encode()
            caller.sendall(post(line["path"], body, b"X-Seq: %d" % line["seq"], KEY))
            got = read_answer(reader)
            assert got.status == line["http_status"]
            if not got.is_whole:
                caller.close()
                break
        assert got.is_whole or line is lines[-1], "a cut stream must be the last of its connection"
        for record in records(running, expected) if expected else []:
            by_id[len(by_id)] = record
        health = running.wait_health(lambda health: not health["waiting"])
        assert "sk-very-secret" not in running.log.read_text()
    return by_id, health


def _facts(call: VendorCall) -> dict[str, Any]:
    """What both the recorder and the vendor's log know of a call."""
    return {
        name: getattr(call, name)
        for name in ("operation", "model", "status", "http_status", "users", "tokens", "asked", "counted")
    } | {"prompt": call.prompt, "answer": call.answer, "purpose": call.purpose, "about": call.about}


def _check(records_: list[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    assert len(records_) == len(lines)
    for record, line in zip(records_, lines, strict=True):
        ours = parse(record, "recorder")
        truth = parse({**canonical(line), "request": line["request"]}, "log")
        assert _facts(ours) == _facts(truth), line["seq"]
        assert ours.response_id == (
            None if line["http_status"] >= 400 or "emb-" in line["id"] else line["id"]
        )
        assert ours.stream == line["stream"]
        assert ours.key is not None
        assert ours.key.startswith("sha256:")
        assert "sk-very-secret" not in json.dumps(record)
        assert ours.started_at is not None
        assert ours.ended_at is not None
        assert ours.started_at <= (ours.first_token_at or ours.started_at) <= ours.ended_at


def _whole(lines: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["fault"] not in ("stream_cut", "stream_error_event", "no_usage")]


def test_records_say_what_the_vendor_said(tmp_path: Path) -> None:
    lines = _whole(_lines(LINES))
    found, health = _recorded(tmp_path, lines, len(lines))
    _check(list(found.values()), lines)
    assert not any(health["lost"].values())


@pytest.mark.parametrize("log", ["vendor-calls.jsonl", "vendor-calls-1.14.0.jsonl"])
def test_records_of_a_whole_recording_say_what_its_vendor_said(
    tmp_path: Path, shared: Path, log: str
) -> None:
    lines = _whole(_lines(shared / "dify" / log))
    found, health = _recorded(tmp_path, lines, len(lines))
    _check(list(found.values()), lines)
    assert not any(health["lost"].values())


def test_cut_stream_is_recorded_as_aborted_with_the_text_that_came(tmp_path: Path) -> None:
    line = next(line for line in _lines(LINES) if line["fault"] == "stream_cut")
    found, _ = _recorded(tmp_path, [line], 1)
    assert found[0]["status"] == "aborted"
    assert found[0]["response_text"] == line["response_text"]
    assert "usage" not in found[0]


def test_stream_that_ends_with_an_error_is_recorded_as_error(tmp_path: Path) -> None:
    line = next(line for line in _lines(LINES) if line["fault"] == "stream_error_event")
    found, _ = _recorded(tmp_path, [line], 1)
    assert found[0]["status"] == "error"
    assert found[0]["http_status"] == 200


def test_answer_without_usage_is_recorded_and_says_that_its_usage_is_unknown(tmp_path: Path) -> None:
    line = next(line for line in _lines(LINES) if line["fault"] == "no_usage")
    found, _ = _recorded(tmp_path, [line], 1)
    assert found[0]["status"] == "ok"
    assert found[0]["usage_unknown"] is True
    assert parse(found[0], "recorder").tokens is None


BODY = json.dumps(
    {
        "id": "chatcmpl-7", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Grüße. " * 50}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 150, "total_tokens": 161},
    }
).encode()  # fmt: skip
REQUEST = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}'


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compressobj(wbits=-15).compress(BODY) + b""),
        ("br", brotli.compress(BODY)),
        ("zstd", zstandard.compress(BODY)),
        ("identity", BODY),
    ],
    ids=["gzip", "deflate", "bare deflate", "br", "zstd", "identity"],
)
def test_compressed_answer_is_passed_on_as_it_is_and_read(
    tmp_path: Path, encoding: str, packed: bytes
) -> None:
    if encoding == "deflate" and packed != zlib.compress(BODY):
        bare = zlib.compressobj(wbits=-15)
        packed = bare.compress(BODY) + bare.flush()
    headers = (b"Content-Type: application/json", b"Content-Encoding: " + encoding.encode())
    with (
        vendor(lambda seen, connection: answer(connection, packed, "200 OK", *headers)) as up,
        recorder(tmp_path, up.url) as running,
    ):
        got = ask(running.port, post("/v1/chat/completions", REQUEST, b"Accept-Encoding: gzip, br"))
        assert got.body == packed
        assert got.header(b"content-encoding") == encoding.encode()
        assert up.seen[0].header(b"accept-encoding") == b"gzip, br"
        record = records(running, 1)[0]
    assert record["response_text"] == "Grüße. " * 50
    assert record["usage"]["completion_tokens"] == 150


def test_answer_that_claims_a_wrong_encoding_is_passed_on_and_counted(tmp_path: Path) -> None:
    headers = (b"Content-Type: application/json", b"Content-Encoding: gzip")
    with (
        vendor(lambda seen, connection: answer(connection, BODY, "200 OK", *headers)) as up,
        recorder(tmp_path, up.url) as running,
    ):
        assert ask(running.port, post("/v1/chat/completions", REQUEST)).body == BODY
        running.wait_health(lambda health: health["lost"]["unreadable"] == 1)


def test_small_answer_that_unpacks_to_gigabytes_is_passed_on_and_counted(tmp_path: Path) -> None:
    bomb = brotli.compress(b" " * (300 * 2**20), quality=1)
    headers = (b"Content-Type: application/json", b"Content-Encoding: br")
    with (
        vendor(lambda seen, connection: answer(connection, bomb, "200 OK", *headers)) as up,
        recorder(tmp_path, up.url) as running,
    ):
        assert ask(running.port, post("/v1/chat/completions", REQUEST)).body == bomb
        running.wait_health(lambda health: health["lost"]["unreadable"] == 1)
        assert _peak_mb(running.store_pid()) < 300


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def test_usage_behind_a_very_long_answer_is_recorded_without_its_text(tmp_path: Path) -> None:
    vectors = b",".join(
        b'{"object":"embedding","index":0,"embedding":[%s0.5]}' % (b"0.123456789," * 3000) for _ in range(400)
    )
    tail = b'],"model":"text-embedding-3-small","usage":{"prompt_tokens":4096,"total_tokens":4096}}'
    body = b'{"object":"list","data":[' + vectors + tail
    assert len(body) > 10 * 2**20
    with (
        vendor(
            lambda seen, connection: answer(connection, body, "200 OK", b"Content-Type: application/json")
        ) as up,
        recorder(tmp_path, up.url) as running,
    ):
        got = ask(running.port, post("/v1/embeddings", b'{"model":"text-embedding-3-small","input":["a"]}'))
        assert got.body == body
        record = records(running, 1)[0]
    assert (
        parse(record, "").tokens
        == parse({**record, "usage": {"prompt_tokens": 4096, "total_tokens": 4096}}, "").tokens
    )
    assert record["usage"] == {"prompt_tokens": 4096, "total_tokens": 4096}
    assert record["model"] == "text-embedding-3-small"


def test_usage_at_the_end_of_a_very_long_stream_is_recorded(tmp_path: Path) -> None:
    word = b'data: {"id":"chatcmpl-9","model":"m-1","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % (
        b"x" * 900
    )
    last = b'data: {"id":"chatcmpl-9","model":"m-1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":77}}\n\n'

    def play(seen: Seen, connection: Any) -> None:
        connection.sendall(STREAM_HEAD)
        for _ in range(10):
            connection.sendall(chunk(word * 1000))
        connection.sendall(chunk(last + b"data: [DONE]\n\n") + b"0\r\n\r\n")

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        got = ask(running.port, post("/v1/chat/completions", b'{"model":"m","stream":true,"messages":[]}'))
        assert got.body == word * 10_000 + last + b"data: [DONE]\n\n"
        record = records(running, 1)[0]
    assert record["usage"] == {"prompt_tokens": 5, "completion_tokens": 77}
    assert (record["model"], record["response_id"]) == ("m", "chatcmpl-9")
    assert "response_text" not in record


def test_responses_api_is_recorded(tmp_path: Path) -> None:
    whole = {
        "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-5-mini-2025-08-07",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello there."}]}],
        "usage": {"input_tokens": 9, "output_tokens": 30, "total_tokens": 39, "output_tokens_details": {"reasoning_tokens": 20}},
    }  # fmt: skip
    events = [
        {"type": "response.output_text.delta", "delta": "Hello there."},
        {"type": "response.completed", "response": whole},
    ]

    def play(seen: Seen, connection: Any) -> None:
        connection.sendall(STREAM_HEAD)
        for event in events:
            connection.sendall(chunk(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()))
        connection.sendall(b"0\r\n\r\n")

    with vendor(play) as up, recorder(tmp_path, up.url) as running:
        ask(running.port, post("/v1/responses", b'{"model":"gpt-5-mini","input":"hi","stream":true}'))
        call = parse(records(running, 1)[0], "")
    assert (call.operation, call.response_id, call.model) == ("responses", "resp_1", "gpt-5-mini")
    assert call.tokens is not None
    assert (call.tokens.input, call.tokens.output, call.tokens.reasoning) == (9, 30, 20)


def test_azure_deployment_names_the_model_that_the_body_leaves_out(tmp_path: Path) -> None:
    with (
        vendor(
            lambda seen, connection: answer(connection, BODY, "200 OK", b"Content-Type: application/json")
        ) as up,
        recorder(tmp_path, up.url) as running,
    ):
        path = "/openai/deployments/our-mini/chat/completions?api-version=2024-10-21"
        ask(running.port, post(path, b'{"messages":[{"role":"user","content":"hello"}]}', b"api-key: abc"))
        record = records(running, 1)[0]
    assert (record["model"], record["response_model"]) == ("our-mini", "gpt-4o-mini-2024-07-18")


def test_upstream_that_cannot_be_reached_is_recorded_as_error(
    tmp_path: Path, unused_port: Callable[[], int]
) -> None:
    with recorder(tmp_path, f"http://127.0.0.1:{unused_port()}") as running:
        got = ask(running.port, post("/v1/chat/completions", REQUEST))
        assert got.status == 502
        record = records(running, 1)[0]
    assert (record["status"], record.get("http_status"), record.get("usage")) == ("error", None, None)
