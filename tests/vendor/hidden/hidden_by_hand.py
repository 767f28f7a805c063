"""Traces and vendor requests made by hand, and Dify's prompts as its source writes them (beginnings and ends)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from exporter.model import App, Call, RecordKind, RecordRef, Status, Step, StepKind, Sums, Tokens, Trace
from exporter.vendor.record import VendorCall, parse

T0 = 1_795_461_600_000_000
"""2026-11-23T19:20:00Z."""

SECOND = 1_000_000
SUPPORT = App("app-support", "Support", "chat", "tenant")
SALES = App("app-sales", "Sales", "chat", "tenant")

TITLE = (
    "You are asked to generate a concise chat title by decomposing the user’s input into two parts: “Intention” and"
    " “Subject”.\n\n1. Detect Input Language\n…\n\nUser Input:\n"
)
OLD_TITLE = (
    'You need to decompose the user\'s input into "subject" and "intention" in order to accurately figure out what the'
    " user's input language actually is. \nNotice: …\n\nexample 1:\nUser Input: hi, yesterday i had some burgers.\n…\n\n"
    "User Input: \n"
)
SUGGEST = (
    "\nPlease help me predict the three most likely questions that human would ask, and keep each question under 20"
    ' characters.\n…\n["question1","question2","question3"]\n\nquestions:\n'
)
OWN_SUGGEST = (
    "\nAsk as a pirate would.\n"
    'You must output a JSON array like ["question1", "question2", "question3"].\nquestions:\n'
)


def trace(
    number: int,
    query: str | None = "hi",
    answer: str | None = "Hello!",
    *,
    at: float = 0,
    lasts: float = 2,
    session: str | None = None,
    name: str | None = None,
    app: App = SUPPORT,
    searches: str | None = None,
    user: str = "alice",
) -> Trace:
    """A chat message; `at` and `lasts` in seconds. `searches`: it has a retrieval node with this query."""
    began, ended = T0 + round(at * SECOND), T0 + round((at + lasts) * SECOND)
    trace_id = f"{number:032x}"
    root = Step(
        f"{number:016x}", None, StepKind.MESSAGE, "chat", began, ended, Status.OK, input=query, output=answer
    )
    steps = [root]
    if searches is not None:
        steps.append(
            Step(
                f"{number + 1000:016x}", root.span_id, StepKind.RETRIEVAL, "Search", began + 100_000, began + 500_000,
                Status.OK, input=f'{{"query": "{searches}"}}',
            )
        )  # fmt: skip
    call = Call(
        f"message:{number}",
        "chat",
        "openai",
        "gpt-4o",
        began + SECOND,
        ended,
        Status.OK,
        None,
        query=query,
        user=user,
    )
    steps.append(
        Step(
            f"{number + 2000:016x}",
            root.span_id,
            StepKind.MODEL,
            "gpt-4o",
            began + SECOND,
            ended,
            Status.OK,
            call=call,
        )
    )
    return Trace(
        trace_id, RecordRef(RecordKind.MESSAGE, str(number), began), app, app.name, began, ended, Status.OK,
        tuple(steps), Sums(Tokens()), session_id=session or f"conversation-{number}", user_id=user,
        message_id=f"message-{number}", conversation_name=name,
    )  # fmt: skip


def message(text: str, role: str = "user") -> dict[str, str]:
    return {"role": role, "content": text}


def request(
    identity: str,
    *prompt: dict[str, str] | str,
    at: float = 1,
    lasts: float = 0.5,
    body: dict[str, Any] | None = None,
    **fields: Any,
) -> VendorCall:
    """A vendor request that began `at` seconds after T0; texts are the user's words."""
    messages = [message(item) if isinstance(item, str) else item for item in prompt]
    record = {
        "id": identity,
        "started_at": moment(at),
        "ended_at": moment(at + lasts),
        "model": "gpt-4",
        "provider": "openai",
        "usage": {"prompt_tokens": 200, "completion_tokens": 30},
        **(
            {"request": {**({"messages": messages} if messages else {}), **(body or {})}}
            if prompt or body
            else {}
        ),
        **fields,
    }
    return parse(record, "gateway")


def embedding(identity: str, *texts: str, at: float = 0.2, **fields: Any) -> VendorCall:
    """An embeddings request; without texts its body was not logged."""
    given = {"usage": {"prompt_tokens": 3, "total_tokens": 3}, "model": "text-embedding-3-small", **fields}
    body = {"input": list(texts)} if texts else None
    return request(identity, at=at, lasts=0.1, body=body, operation="embeddings", **given)


def title(
    identity: str, query: str = "hi", *, at: float = 1, name: str | None = None, **fields: Any
) -> VendorCall:
    """Dify's request for a conversation's title; `name` is what the model answers."""
    answer = (
        f'{{"Language Type": "English", "Your Reasoning": "…", "Your Output": "{name}"}}' if name else None
    )
    return request(
        identity, f"{TITLE}{query}\n", at=at, **({"response_text": answer} if answer else {}), **fields
    )


def moment(at: float) -> str:
    return datetime.fromtimestamp((T0 + round(at * SECOND)) / SECOND, UTC).isoformat()


def unfinished(of: Trace) -> Trace:
    """The trace as Dify keeps it when it was abandoned: it has no end and no answer."""
    root = replace(of.steps[0], ended_at=of.started_at, output=None)
    return replace(of, ended_at=of.started_at, steps=(root, *of.steps[1:]), status=Status.UNFINISHED)
