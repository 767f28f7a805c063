"""Counting never needs, and never tries to use, a network."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from exporter.local.vocabulary import LOADERS, count, missing

INSTALLED = sorted(name for name in LOADERS if missing(name) is None)

GUARD = """
import json, sys
def forbid(event, args):
    if event.startswith('socket.') or event in ('urllib.Request', 'http.client.connect'):
        raise BaseException('the network was used: ' + event)
sys.addaudithook(forbid)
"""
COUNT = (
    GUARD
    + """
from exporter.local.vocabulary import count
texts = json.load(sys.stdin)
print(json.dumps({name: [count(name, text).tokens for text in texts] for name in sys.argv[1:]}))
"""
)
CONNECT = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=5)"


def without_network() -> list[str]:
    """A command in front of another that takes its network away, loopback too; empty where the system forbids that."""
    unshare = shutil.which("unshare")
    command = [unshare, "--map-root-user", "--net"] if unshare else []
    works = command and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    return command if works else []


def run(program: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*without_network(), sys.executable, "-c", program, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_whole_truth_set_is_counted_without_a_network(texts: dict[str, str]) -> None:
    """In a process with no network where the system allows that, and with every socket forbidden everywhere."""
    done = run(COUNT, *INSTALLED, given=json.dumps(list(texts.values())))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        name: [count(name, text).tokens for text in texts.values()] for name in INSTALLED
    }


@pytest.mark.parametrize("program", [GUARD + CONNECT, CONNECT], ids=["guarded", "no network"])
def test_what_would_connect_fails_there(program: str) -> None:
    done = run(program)
    assert done.returncode != 0
    assert "the network was used" in done.stderr or "Error" in done.stderr


def test_a_missing_extra_is_named_and_nothing_else_breaks() -> None:
    """Without ctok and llama-models their models are still counted, by what the reading names as a stand-in."""
    program = (
        "import sys\n"
        "sys.modules['ctok'] = sys.modules['llama_models'] = None\n"
        "from exporter.local.families import family\n"
        "for model in ('claude-sonnet-4-5', 'claude-opus-4-7', 'claude-sonnet-5', 'llama-4-scout'):\n"
        "    found = family(model)\n"
        "    print(found.vocabulary, found.accuracy, found.error_pct, found.note, sep=' | ')\n"
    )
    done = run(program)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(" | ")[:3] for line in lines] == [
        ["claude2", "approximate", "20"],
        ["claude2", "approximate", "30"],
        ["claude2", "approximate", "30"],
        ["o200k_base", "approximate", "20"],
    ]
    assert all("pip install 'dify-exporter[claude]'" in line for line in lines[:3])
    assert all(("Python 3.12 or later" in line) == (sys.version_info < (3, 12)) for line in lines[:3])
    assert "pip install 'dify-exporter[llama4]'" in lines[3]


def test_counting_in_a_missing_vocabulary_fails_with_what_to_install() -> None:
    program = (
        "import sys\n"
        "sys.modules['ctok'] = None\n"
        "from exporter.local.vocabulary import CountFailed, count\n"
        "try:\n"
        "    count('claude_v3', 'Hello')\n"
        "except CountFailed as failure:\n"
        "    print(failure)\n"
    )
    assert "pip install 'dify-exporter[claude]'" in run(program).stdout


def test_nothing_heavy_is_loaded_before_the_first_count() -> None:
    program = (
        "import sys\n"
        "from exporter.local import families\n"
        "families.family('gpt-4o'), families.family('claude-sonnet-5')\n"
        "print(*(name for name in ('tiktoken', 'splintr', 'ctok', 'llama_models') if name in sys.modules))\n"
    )
    assert run(program).stdout.split() == []
