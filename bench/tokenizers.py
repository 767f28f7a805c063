"""Counting tokens: how fast in each vocabulary, beside the bare engine in the same run, and what a vocabulary keeps.

Every vocabulary runs in a process of its own. `unique` is text that comes once (English, Chinese, code in messages of
4 KB); `repeated` are conversations whose every call sends its system prompt and history again. The engine's bare encode
gets the same amount of other text of the same kind, in turns with our count. Processor time, medians of the rounds.
splintr has a cache of its own, so for OpenAI's vocabularies tiktoken, which has none, is measured too.

    python -m bench.tokenizers
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import orjson

from bench._common import bare_environment, machine, median, print_json, print_table, resident_mb, say
from bench._prose import prose
from exporter.local import bpe, bundled, claude, llama4
from exporter.local.vocabulary import LOADERS, count, missing

AIM = "Aim: 90 % of the bare engine on unique text, 5 times as fast on conversations."
MESSAGE_CHARS = 4096
ROUNDS = 5
FAST_CHARS, SLOW_CHARS = 400_000, 30_000
"""Text per round and kind; the second for tokenizers written in Python."""

_CONVERSATIONS, _TURNS = 6, 10
_SYSTEM_BYTES, _QUESTION_BYTES, _ANSWER_BYTES = 3000, 400, 1200
_CODE_FOLDERS = ("asyncio", "email", "json", "logging", "multiprocessing", "unittest", "xml")


def main() -> None:
    """Measure every vocabulary and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--vocabulary", action="append", choices=sorted(LOADERS), help="only this one (repeatable)"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    parser.add_argument("--own-process", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.own_process:
        print_json(_measure(given.own_process))
        return
    rows = []
    for name in given.vocabulary or LOADERS:
        reason = missing(name)
        say(f"{name}: {reason or '…'}")
        if reason is None:
            rows.append(_in_own_process(name))
    if given.json:
        print_json({"machine": machine(), "vocabularies": rows})
        return
    kinds = [kind for kind in rows[0] if kind in (*_KINDS, "repeated")]
    head = ("vocabulary", "start s", "MB", *(f"{kind} ktok/s (of bare)" for kind in kinds))
    print_table(head, [_as_row(row, kinds) for row in rows])
    print(f"{machine()}; one core. {AIM}")


def _in_own_process(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.tokenizers", "--own-process", name],
        capture_output=True,
        env=bare_environment(),
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr.decode()[-2000:]}")
    found: dict[str, Any] = orjson.loads(done.stdout.splitlines()[-1])
    return found


def _as_row(row: dict[str, Any], kinds: Sequence[str]) -> tuple[str, ...]:
    return (
        row["vocabulary"],
        f"{row['start_seconds']:.2f}",
        f"{row['loaded_mb']:.0f}",
        *(_cell(row[kind]) for kind in kinds),
    )


def _cell(speed: dict[str, float]) -> str:
    against = f"{speed['of_bare']:.2f}"
    if "of_tiktoken" in speed:
        against += f"; tiktoken {speed['of_tiktoken']:.1f}"
    return f"{speed['tokens_per_second'] / 1000:,.0f} ({against})"


# ── one vocabulary, in its own process ──────────────────────────────────────────────────────────────────────


def _measure(name: str) -> dict[str, Any]:
    chars = SLOW_CHARS if name in claude.VERSIONS else FAST_CHARS
    texts = {kind: list(_messages(make(Random(kind)), 2 * ROUNDS * chars)) for kind, make in _KINDS.items()}
    before = _resident()
    start = time.perf_counter()
    count(name, "Hello world")
    started = time.perf_counter() - start
    for messages in texts.values():
        for message in messages[:20]:
            count(name, message)
    loaded_mb = _resident() - before
    bare = _bare(name)
    found: dict[str, Any] = {
        "vocabulary": name,
        "start_seconds": round(started, 3),
        "loaded_mb": round(loaded_mb, 1),
    }
    samples = {
        kind: [messages[place :: 2 * ROUNDS] for place in range(2 * ROUNDS)]
        for kind, messages in texts.items()
    }
    for kind, rounds in samples.items():
        found[kind] = _compared(name, bare, rounds[::2], rounds[1::2])
    talks = [list(_calls(Random(seed), chars)) for seed in range(2 * ROUNDS)]
    found["repeated"] = _compared(name, bare, talks[::2], talks[1::2])
    if name in bundled.OPENAI:
        reference = bpe.load(name)
        for kind, rounds in (*samples.items(), ("repeated", talks)):
            theirs = median(_tokens_per_second(reference, texts) for texts in rounds[::2])
            found[kind]["of_tiktoken"] = round(found[kind]["tokens_per_second"] / theirs, 2)
    found["repeated_share"] = round(1 - sum(map(len, set(talks[1]))) / sum(map(len, talks[1])), 3)
    return found


def _compared(
    name: str, bare: Callable[[str], int], for_bare: Sequence[list[str]], for_us: Sequence[list[str]]
) -> dict[str, float]:
    """Tokens per second of ours, and as a multiple of the bare engine's."""
    theirs, ours = [], []
    for others, own in zip(for_bare, for_us, strict=True):
        theirs.append(_tokens_per_second(bare, others))
        ours.append(_tokens_per_second(lambda text: count(name, text).tokens, own))
    return {"tokens_per_second": round(median(ours)), "of_bare": round(median(ours) / median(theirs), 3)}


def _tokens_per_second(counted: Callable[[str], int], texts: Sequence[str]) -> float:
    before = time.process_time()
    tokens = sum(map(counted, texts))
    return tokens / (time.process_time() - before)


def _bare(name: str) -> Callable[[str], int]:
    """The engine's own encode with nothing of ours around it."""
    if name in claude.VERSIONS:
        token_count, version = import_module("ctok").token_count, claude.VERSIONS[name]
        return lambda text: int(token_count(text, version))
    if name in bundled.BUNDLED or name in bundled.OPENAI:
        splintr = import_module("splintr")
        encode = splintr.Tokenizer.from_pretrained(bundled.BUNDLED.get(name, name)).encode_ordinary
        bare: Callable[[str], int] = lambda text: len(encode(text))  # noqa: E731
        bare("The first long text builds the engine's tables. " * 1000)
        return bare
    return llama4.load() if name == "llama4" else bpe.load(name)


def _resident() -> float:
    return resident_mb(_own_pid()) or 0.0


def _own_pid() -> int:
    return int(Path("/proc/self").resolve().name)


# ── the texts ───────────────────────────────────────────────────────────────────────────────────────────────


def _english(rng: Random) -> Iterator[str]:
    while True:
        yield " ".join(f"{part}." for part in prose(rng, 20_000).split(". ") if part.isascii())


def _chinese(rng: Random) -> Iterator[str]:
    while True:
        yield "".join(re.findall(r"[^\x00-\x7f]+", prose(rng, 60_000)))


def _code(rng: Random) -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(file for folder in _CODE_FOLDERS for file in (library / folder).rglob("*.py"))
    rng.shuffle(files)
    while True:
        for file in files:
            yield file.read_text("utf-8", "replace")


_KINDS: dict[str, Callable[[Random], Iterator[str]]] = {
    "English": _english,
    "Chinese": _chinese,
    "code": _code,
}


def _messages(source: Iterator[str], chars: int) -> Iterator[str]:
    """Messages of one kind with so many characters together, no two alike."""
    given = 0
    for serial, text in enumerate(source):
        for start in range(0, len(text), MESSAGE_CHARS):
            if given >= chars:
                return
            message = f"{serial} {text[start : start + MESSAGE_CHARS]}"
            given += len(message)
            yield message


def _calls(rng: Random, chars: int) -> Iterator[str]:
    """The messages of every call of some apps' conversations, in order: system prompt, history, question, answer."""
    given = 0
    while given < chars * 4:
        system = prose(rng, _SYSTEM_BYTES)
        for _ in range(_CONVERSATIONS):
            history: list[str] = []
            for _ in range(_TURNS):
                question, answer = prose(rng, _QUESTION_BYTES), prose(rng, _ANSWER_BYTES)
                call = [system, *history, question, answer]
                yield from call
                given += sum(map(len, call))
                history += [question, answer]


if __name__ == "__main__":
    main()
