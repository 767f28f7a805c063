"""A real platform as a process of its own: started, waited for, killed, started again with what it holds."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import requests

_READY_SECONDS = 180.0

only_if_asked = pytest.mark.skipif(
    os.environ.get("DIFY_EXPORTER_REAL") != "1",
    reason="starts real servers of 0.8 GB each; DIFY_EXPORTER_REAL=1 runs it (DIFY_EXPORTER_REAL_BIN: their bin folder)",
)


def program(name: str) -> str:
    """The platform's program, of DIFY_EXPORTER_REAL_BIN, this environment or the path."""
    folders = [os.environ.get("DIFY_EXPORTER_REAL_BIN", ""), str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))
    assert found, f"{name} is not installed; pip install it and name its bin folder in DIFY_EXPORTER_REAL_BIN"
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class RealServer:
    """One server with its folder."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], port: int, health: str, folder: Path
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.grpc_url = ""
        self._command = command
        self._environment = {**os.environ, **environment}
        self._health = self.url + health
        self._log = folder / "server.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        """Start and wait until it is healthy."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _READY_SECONDS
        while not self._is_healthy():
            assert self._process.poll() is None, f"it ended by itself:\n{self._log.read_text()[-2000:]}"
            assert time.monotonic() < until, f"not healthy in time:\n{self._log.read_text()[-2000:]}"
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to it and all that it started: nothing is written any more."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _is_healthy(self) -> bool:
        try:
            return requests.get(self._health, timeout=2).status_code == 200
        except requests.RequestException:
            return False
