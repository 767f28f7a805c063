"""What a difference between an SDK's span and ours is, what a reason for it is, and the sentences that several platforms share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Difference(StrEnum):
    """How the two sides stand to each other in one field, in the order of the tables."""

    NONE = "same"
    NAME = "other name"
    VALUE = "other value"
    THEIRS = "not written"
    OURS = "only ours"


@dataclass(frozen=True, slots=True)
class Reason:
    """`fields` is a field's name, or a pattern with `*`; what only we write under one pattern shares a row."""

    fields: str
    difference: Difference
    why: str
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Platform:
    """One SDK: which of our dialects it is held against, the script that works with it and its options, its packages, and what
    we call by another name than it does."""

    name: str
    dialect: str
    script: tuple[str, ...]
    packages: tuple[str, ...]
    other_names: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()


KIND = "What asks another server is a client span in OpenTelemetry's words."
NAME = "Our span has the title that the node has in Dify; the SDK knows only the client's method."
ERROR = "It is the error as Dify recorded it."
NO_EMBEDDED = "Dify keeps neither the text nor the vector of an embedding."
NO_EXCEPTION = "Dify keeps an error's text, not the exception's class and stack."
NO_SCHEMA = "Dify does not keep the schema of a tool."
AS_DIFY = "Texts are shown as Dify recorded them."
OWN = "Our readings, their provenance and Dify's own ids."
VERDICT = "The verdict is one of our tags."
ROOT_TAGS = "Tags are on the root, so that a filter finds a trace once and not each of its spans."
MESSAGES = "The messages alone; model and parameters have fields of their own."
ANSWER = "Dify keeps the answer, not the vendor's whole response."
NO_ANSWER = "There is no answer."
NO_AUDIO = "Dify and most evidence do not tell audio tokens apart."
NO_OTHERS = (
    "They are parameters without a standard name, which go out as `llm.invocation_parameters`; here are none."
)
USAGE_OF_CHAT = "The SDK writes it for chat only."
PROGRAM = "It describes the traced program: its commit, machine, client or function."
FIRST_SEND = "A correction leaves it as the first send, which is OTLP, said it."
