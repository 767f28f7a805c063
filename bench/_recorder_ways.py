"""The vendor of plain sockets behind the recorder's benchmark, and the ways to it: direct, through nginx, recorded.

python -m bench._recorder_ways        a vendor: prints its port, ends when its standard input closes
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench._common import bare_environment, say

REQUEST = orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "word " * 400}]})
STREAMED = orjson.dumps({**orjson.loads(REQUEST), "stream": True})
_USAGE = {"prompt_tokens": 410, "completion_tokens": 200, "total_tokens": 610}
ANSWER = orjson.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "word " * 200}, "finish_reason": "stop"}
        ],
        "usage": _USAGE,
    }
)
PIECES = 200
_PAUSE_SECONDS = 0.002
"""Between pieces: five hundred tokens a second, faster than any model writes."""
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_START_SECONDS = 30.0


@dataclass(frozen=True)
class Way:
    """How the client reaches the vendor; `pid` is the process in between."""

    name: str
    port: int
    pid: int | None = None


def ways_to_the_vendor(running: ExitStack, folder: Path) -> list[Way]:
    """All ways that exist here; their processes end with `running`."""
    vendor = running.enter_context(_vendor())
    ways = [Way("direct", vendor)]
    if shutil.which("nginx") or Path("/usr/sbin/nginx").exists():
        ways.append(running.enter_context(_nginx(folder, vendor)))
    else:
        say("nginx is not installed and left out; on Debian and Ubuntu: apt-get install nginx-light")
    ways.append(running.enter_context(_recorder(folder, vendor)))
    return ways


@contextmanager
def _vendor() -> Iterator[int]:
    command = [sys.executable, "-m", "bench._recorder_ways"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def _serve_vendor() -> None:
    """Answer on a free port of the loopback interface until standard input closes."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), _Vendor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()


class _Vendor(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line[:15].lower() == b"content-length:":
                    length = int(line[15:])
            if b'"stream":true' in self.rfile.read(length):
                self._stream()
            else:
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                self.request.sendall(head % len(ANSWER) + ANSWER)

    def _stream(self) -> None:
        self.request.sendall(_STREAM_HEAD)
        rest = b',"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}\n\n'
        for _ in range(PIECES):
            time.sleep(_PAUSE_SECONDS)
            event = b'data: {"sent":%d' % time.perf_counter_ns() + rest
            self.request.sendall(b"%x\r\n%s\r\n" % (len(event), event))
        last = b'data: {"id":"chatcmpl-1","choices":[],"usage":%s}\n\ndata: [DONE]\n\n' % orjson.dumps(_USAGE)
        self.request.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(last), last))


_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 16; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""


@contextmanager
def _nginx(folder: Path, vendor: int) -> Iterator[Way]:
    port = _free_port()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, vendor=vendor, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    with _process(
        [program, "-c", str(settings), "-p", str(folder), "-g", f"user {_user()};"], port
    ) as process:
        yield Way("nginx", port, process.pid)


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@contextmanager
def _recorder(folder: Path, vendor: int) -> Iterator[Way]:
    port = _free_port()
    start = (
        "import sys; from pathlib import Path; from exporter.config import LogSettings;"
        " from exporter.logs import configure; from exporter.recorder.command import serve_recorder;"
        " from exporter.recorder.options import read_options; log = LogSettings(level='error'); configure(log);"
        " serve_recorder(read_options(listen=sys.argv[1], upstream=[sys.argv[2]], out=Path(sys.argv[3]), log=log))"
    )
    command = [
        sys.executable,
        "-c",
        start,
        f"127.0.0.1:{port}",
        f"http://127.0.0.1:{vendor}",
        str(folder / "out.jsonl"),
    ]
    with _process(command, port) as process:
        yield Way("recorder", port, process.pid)


@contextmanager
def _process(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready when its port answers."""
    process = subprocess.Popen(command, env=bare_environment())
    try:
        end = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} did not start")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    _serve_vendor()
