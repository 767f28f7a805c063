"""Made-up traffic in the shapes of recorded traffic: Dify calls, the vendor requests they sent, and who sent which.

Chats, workflows, agents with tools; retries inside a plugin, failures, stopped and abandoned answers; titles and embeddings
that Dify asks for by itself, and requests of others on the same key. The same seed gives the same traffic, in the order
of time, never held as a whole.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from exporter.model import Micros, Status, Tokens
from exporter.vendor.fingerprint import BEGINNINGS, AnswerPrint, CallPrint, PromptPrint
from exporter.vendor.record import VendorCall

SECOND: Micros = 1_000_000
BEGIN: Micros = 1_795_461_600 * SECOND
MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "o3-mini")
GREETINGS = tuple(f"{number:032x}" for number in range(20))
"""Answers that are given again and again."""


@dataclass(slots=True)
class Turn:
    """What one action of one user led to; `owner` names the call of every request that has one."""

    at: Micros
    calls: list[CallPrint] = field(default_factory=list)
    requests: list[VendorCall] = field(default_factory=list)
    owner: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """How the traffic is: turns per second, distinct users, whether the vendor's log holds texts and users."""

    turns_per_second: float = 3.0
    users: int = 500
    has_texts: bool = True
    has_users: bool = True


def turns(seed: int, kind: Kind) -> Iterator[Turn]:
    """Turns without end, in the order of time."""
    chance = random.Random(seed)
    at, number = BEGIN, 0
    while True:
        at += max(1, round(chance.expovariate(kind.turns_per_second) * SECOND))
        number += 1
        yield _Maker(chance, kind, number, at).make()


class _Maker:
    def __init__(self, chance: random.Random, kind: Kind, number: int, at: Micros) -> None:
        self._chance, self._kind, self._name = chance, kind, f"t{number}"
        self._user = (f"{chance.randrange(kind.users):032x}",)
        self._app = f"app-{chance.randrange(30)}"
        self._system = f"s{chance.randrange(30):016x}"
        self._model = chance.choice(MODELS)
        self._turn = Turn(at)

    def make(self) -> Turn:
        draw, at = self._chance.random(), self._turn.at
        if draw < 0.5:
            self._chat(at, Status.OK, failed=0)
        elif draw < 0.56:
            self._chat(at, Status.OK, failed=self._chance.randint(1, 2))
        elif draw < 0.6:
            self._chat(at, Status.ERROR, failed=2)
        elif draw < 0.63:
            self._chat(at, self._chance.choice((Status.STOPPED, Status.UNFINISHED)), failed=0)
        elif draw < 0.83:
            self._workflow(at)
        elif draw < 0.95:
            self._agent(at)
        else:
            self._foreign(at)
        if self._chance.random() < 0.25 and self._turn.calls:
            self._own("title", "chat", at + SECOND)
        if self._chance.random() < 0.15:
            self._own("embedding", "embeddings", at + SECOND // 20)
        return self._turn

    def _chat(self, at: Micros, status: Status, failed: int) -> None:
        """A message: its row's time is rounded to the second."""
        begun = at + self._chance.randint(50_000, 400_000)
        prompt = self._prompt(self._chance.choice((1, 1, 2, 6)))
        self._sent(f"message:{self._name}", begun, status, failed, prompt, row=round(at / SECOND) * SECOND)

    def _workflow(self, at: Micros) -> None:
        for node in range(self._chance.randint(1, 4)):
            status = Status.ERROR if self._chance.random() < 0.02 else Status.OK
            retries = 1 if status is Status.ERROR or self._chance.random() < 0.03 else 0
            row = at + 20_000
            at = self._sent(
                f"node:{self._name}:{node}", row + 30_000, status, retries, self._prompt(1), row=row
            )

    def _agent(self, at: Micros) -> None:
        query = self._word("u")
        messages: tuple[str, ...] = (self._system, query)
        for number in range(self._chance.randint(2, 3)):
            prompt, row = PromptPrint(messages), at + 10_000
            at = self._sent(
                f"thought:{self._name}:{number}", row + 20_000, Status.OK, 0, prompt, row=row, tool=True
            )
            messages += (self._word("a"), self._word("t"))

    def _foreign(self, at: Micros) -> None:
        user = (f"{self._chance.getrandbits(128):032x}",)
        tokens, answer = self._counts(), self._answer()
        self._request("foreign", at, at + 2 * SECOND, "ok", tokens, self._prompt(1), answer, users=user)

    def _own(self, purpose: str, operation: str, at: Micros) -> None:
        """A request that Dify makes by itself; its prompt tells, where prompts are logged."""
        tokens = Tokens(200 + self._chance.randrange(20), 33 if operation == "chat" else 0)
        known = purpose if self._kind.has_texts or operation == "embeddings" else None
        prompt, answer = self._prompt(1), self._answer()
        self._request(
            purpose,
            at,
            at + SECOND // 2,
            "ok",
            tokens,
            prompt,
            answer,
            users=(),
            operation=operation,
            purpose=known,
        )

    def _sent(
        self, name: str, begun: Micros, status: Status, failed: int, prompt: PromptPrint, *, row: Micros,
        tool: bool = False,
    ) -> Micros:  # fmt: skip
        """One call with its requests; returns when it ended."""
        for number in range(failed):
            ended = begun + 10_000
            self._attempt(f"{name}:f{number}", name, begun, ended, "error", None, prompt, None)
            begun = ended + self._chance.randint(300_000, 700_000)
        tokens, answer = self._counts(), self._answer()
        if tool:
            answer = AnswerPrint(tool_ids=(self._word("")[:16],), tools=(self._word("")[:16],))
        ended = begun + tokens.output * 12_000 if tokens.output else begun
        if status is not Status.ERROR:
            self._attempt(f"{name}:r", name, begun, ended, "ok", tokens, prompt, answer)
        until = {Status.STOPPED: begun + SECOND // 3, Status.UNFINISHED: row, Status.ERROR: begun}.get(
            status, ended
        )
        self._turn.calls.append(self._call(name, row, until, status, tokens, prompt, answer))
        return until + 5_000

    def _call(
        self, name: str, row: Micros, until: Micros, status: Status, tokens: Tokens, prompt: PromptPrint,
        answer: AnswerPrint,
    ) -> CallPrint:  # fmt: skip
        is_ok, is_node = status is Status.OK, name.startswith("node")
        kept = answer if is_ok else AnswerPrint()
        if status is Status.STOPPED and answer.beginnings:
            kept = AnswerPrint(text=self._word(""), chars=20, beginnings=answer.beginnings[:1])
        return CallPrint(
            call_id=name, kind="chat", provider="openai", model=None if is_node and not is_ok else self._model,
            app_id=self._app, status=status, started_at=row, ended_at=max(until + 4_000, row),
            recorded=tokens if is_ok else Tokens(0, 0), recorded_total=tokens.total if is_ok else 0,
            prompt=prompt if is_ok or status is Status.STOPPED else None,
            query=None if is_node else prompt.messages[-1] if prompt.messages[-1].startswith("u") else prompt.messages[1],
            answer=kept, users=self._user,
        )  # fmt: skip

    def _attempt(
        self, name: str, call: str, begun: Micros, ended: Micros, status: str, tokens: Tokens | None,
        prompt: PromptPrint, answer: AnswerPrint | None,
    ) -> None:  # fmt: skip
        self._turn.owner["gateway", name] = call
        self._request(name, begun, ended, status, tokens, prompt, answer, users=self._user)

    def _request(
        self, name: str, begun: Micros, ended: Micros, status: str, tokens: Tokens | None, prompt: PromptPrint,
        answer: AnswerPrint | None, *, users: tuple[str, ...], operation: str = "chat", purpose: str | None = None,
    ) -> None:  # fmt: skip
        name = name if name.endswith((":r", ":f0", ":f1")) else f"{name}:{self._name}"
        has_texts = self._kind.has_texts
        self._turn.requests.append(
            VendorCall(
                source="gateway", id=name, started_at=begun, ended_at=ended, operation=operation,
                model=f"{self._model}-2024-07-18", status=status, stream=purpose is None and users != (),
                users=users if self._kind.has_users else (), tokens=tokens, purpose=purpose,
                prompt=prompt if has_texts else None, answer=answer if has_texts else None,
            )
        )  # fmt: skip

    def _prompt(self, words: int) -> PromptPrint:
        greets = words == 1 and self._chance.random() < 0.1
        own = ("u" + "0" * 15 + str(self._chance.randrange(3)),) if greets else ()
        spoken = own or tuple(self._word("ua"[place % 2]) for place in range(2 * words - 1))
        return PromptPrint((self._system, *spoken))

    def _answer(self) -> AnswerPrint:
        text = self._chance.choice(GREETINGS) if self._chance.random() < 0.05 else self._word("") * 2
        chars = self._chance.randint(20, 900)
        beginnings = tuple(f"{text[:10]}{length:06d}" for length in BEGINNINGS if length <= chars)
        return AnswerPrint(text=text, chars=chars, beginnings=beginnings)

    def _counts(self) -> Tokens:
        return Tokens(self._chance.randint(20, 900), self._chance.randint(10, 250))

    def _word(self, role: str) -> str:
        return f"{role}{self._chance.getrandbits(64):016x}"
