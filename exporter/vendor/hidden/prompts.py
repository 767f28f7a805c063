"""The words by which Dify's own prompts are known, and the shape of the requests they come in.

Words and shapes are those of Dify's source, 0.15 to 1.14 (`core/llm_generator/prompts.py`, `core/rag/retrieval`,
`core/tools`). A request is Dify's own only when the whole shape fits: an end user may well talk about these words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from exporter.model import PromptMessage

_COMPARED = 2_000
"""Characters of a prompt whose spacing is evened out for the comparison; Dify's own words stand at the beginning."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ROUTER_SYSTEM = "You are a helpful AI assistant."
_REACT_ROUTER = "Query for the dataset to be used to retrieve the dataset."
_REACT_ROUTER_COMPLETION = "Question: {input}\nThought: {agent_scratchpad}"


@dataclass(frozen=True, slots=True)
class Known:
    """One of Dify's prompts: how its first message begins (spacing evened out), what else that message holds, and how
    many messages the request has at least and at most."""

    purpose: str
    beginning: str
    holds: str = ""
    least: int = 1
    most: int = 1


_PROMPTS = (
    Known(
        "title",
        "You are asked to generate a concise chat title by decomposing the user’s input into two parts",
    ),
    Known(
        "title",
        'You need to decompose the user\'s input into "subject" and "intention" in order to accurately figure out',
    ),
    Known(
        "prompt_generator",
        "Here is a task description for which I would like you to create a high-quality prompt template for:"
        " <task_description>",
    ),
    Known(
        "prompt_generator",
        "I need to extract the following information from the input text. The <information to be extracted> tag"
        " specifies the 'type', 'description' and 'required' of the information to be extracted.",
        "variables name bounded two double curly brackets",
    ),
    Known("prompt_generator", "<instruction> Step 1: Identify the purpose of the chatbot from the variable"),
    Known(
        "prompt_generator",
        "Given MY INTENDED AUDIENCES and HOPING TO SOLVE using a language model, please select",
    ),
    Known(
        "code_generator",
        "You are an expert programmer. Generate code based on the following instructions: Instructions:",
    ),
    Known(
        "schema_generator",
        "Your task is to convert simple user descriptions into properly formatted JSON Schema definitions."
        " When a user describes data fields they need",
        least=2,
        most=2,
    ),
    Known(
        "instruction_editor",
        "Both your input and output should be in JSON format. ! Below is the schema for input content !",
        "ideal_output",
        least=2,
        most=2,
    ),
    Known(
        "question_answer_segments",
        "<Task> The user will send a long text. Generate a Question and Answer pairs only using the knowledge",
        least=2,
        most=2,
    ),
    Known(
        "segment_summary",
        "Summarize the following content. Extract only the key information and main points.",
    ),
    Known(
        "metadata_filter",
        "### Job Description', You are a text metadata extract engine that extract text's metadata based on user"
        " input and set the metadata value",
        least=2,
        most=12,
    ),
    Known(
        "metadata_filter",
        "### Job Description You are a text metadata extract engine that extract text's metadata based on user"
        " input and set the metadata value",
    ),
    Known(
        "tool_summary",
        "You are a professional language researcher, you are interested in the language and you can quickly aimed"
        " at the main point of an webpage",
        least=2,
        most=2,
    ),
    Known(
        "knowledge_router",
        "Respond to the human as helpfully and accurately as possible. You have access to the following tools:",
        _REACT_ROUTER,
        least=2,
        most=2,
    ),
    Known(
        "knowledge_router",
        "Respond to the human as helpfully and accurately as possible. You have access to the following tools:",
        _REACT_ROUTER_COMPLETION,
    ),
)

SUGGESTED_DEFAULT = "Please help me predict the three most likely questions that human would ask"
SUGGESTED_CUSTOM = 'You must output a JSON array like ["question1", "question2", "question3"].'
"""Follows the operator's own instruction (Dify 1.14 and later)."""


def purpose_of(prompt: Sequence[PromptMessage], request: object) -> str | None:
    """What Dify made a request with these messages for, when its words and its shape are Dify's own."""
    first = prompt[0].text
    beginning = " ".join(first[:_COMPARED].split())
    for known in _PROMPTS:
        if known.least <= len(prompt) <= known.most and beginning.startswith(known.beginning):
            return known.purpose if known.holds in first else None
    if len(prompt) == 1 and _is_suggesting(first):
        return "suggested_questions"
    return "knowledge_router" if _is_routing(prompt, request) else None


def _is_suggesting(text: str) -> bool:
    has_history = text.startswith(("Human: ", "Assistant: ")) and text.rstrip().endswith("questions:")
    return has_history and (SUGGESTED_DEFAULT in text or SUGGESTED_CUSTOM in text)


def _is_routing(prompt: Sequence[PromptMessage], request: object) -> bool:
    """Choosing one dataset by a function call: the offered functions are named by the datasets' ids."""
    if len(prompt) != 2 or prompt[0].text != _ROUTER_SYSTEM or not isinstance(request, Mapping):
        return False
    names = list(_function_names(request))
    return len(names) > 1 and all(_UUID.fullmatch(name) for name in names)


def _function_names(request: Mapping[str, Any]) -> Iterator[str]:
    for place in (request, request.get("parameters")):
        tools = place.get("tools") if isinstance(place, Mapping) else None
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, Mapping):
                inner = tool.get("function")
                yield str((inner if isinstance(inner, Mapping) else tool).get("name"))
