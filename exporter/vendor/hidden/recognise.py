"""Recognising the model calls that Dify makes on its own and adds to no message or run, by the words of their prompts.

Must run while a record's texts are still there. The words are those of Dify's source, 0.15 to 1.14; a prompt that is
not recognised is simply not hidden. A recognised request is never matched to a recorded call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.model import PromptMessage


@dataclass(frozen=True, slots=True)
class Recognised:
    """What Dify made a request for (None: not one of its own), and hashes of the words that it was made for."""

    purpose: str | None = None
    about: tuple[str, ...] = ()


_BEGINNINGS = (
    ("You are asked to generate a concise chat title by decomposing the user", "title"),
    ('You need to decompose the user\'s input into "subject" and "intention"', "title"),
    (
        "Here is a task description for which I would like you to create a high-quality prompt template",
        "prompt_generator",
    ),
    ("You are an expert programmer. Generate code based on the following instructions", "code_generator"),
    (
        "Your task is to convert simple user descriptions into properly formatted JSON Schema",
        "schema_generator",
    ),
    ("Both your input and output should be in JSON format.", "instruction_editor"),
    (
        "<Task> The user will send a long text. Generate a Question and Answer pairs",
        "question_answer_segments",
    ),
    ("Summarize the following content. Extract only the key information and main points", "segment_summary"),
    ("### Job Description', You are a text metadata extract engine", "metadata_filter"),
    ("You are a professional language researcher, you are interested in the language", "tool_summary"),
)
_INSIDE = (
    ("Please help me predict the three most likely questions that human would ask", "suggested_questions"),
)


def recognise(operation: str, prompt: Sequence[PromptMessage] | None) -> Recognised:
    """What a request with these messages was made for."""
    return Recognised(hidden_purpose(prompt))


def hidden_purpose(prompt: Sequence[PromptMessage] | None) -> str | None:
    """What Dify made this request for, when it is one of its own; None for every other request."""
    if not prompt:
        return None
    first, last = prompt[0].text.lstrip(), prompt[-1].text.lstrip()
    for words, purpose in _BEGINNINGS:
        if first.startswith(words) or last.startswith(words):
            return purpose
    return next((purpose for words, purpose in _INSIDE if words in last), None)
