"""One answer, or one event of a streamed answer, in the words of each vendor, read into a `Draft`.

`read_event` tells the vendor by the keys. What it does not know it leaves out, usage it leaves to
`exporter.vendor.usage`, and it never raises for any JSON value. Field names: the public API references of OpenAI,
Anthropic, DashScope, Gemini, Bedrock Converse and Cohere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from exporter.vendor.adapters.blocks import (
    Event,
    anthropic_block_start,
    anthropic_delta,
    anthropic_end,
    anthropic_message,
    anthropic_start,
    converse_block,
    converse_event,
    gemini,
    objects,
)
from exporter.vendor.adapters.draft import Draft


def read_event(event: Event, draft: Draft) -> None:
    """Everything that one body or event says of the answer."""
    if event.get("error"):
        draft.is_error = True
    kind = event.get("type")
    if isinstance(kind, str) and (kind.startswith("response.") or kind == "error"):
        _responses_event(kind, event, draft)
    elif event.get("object") == "response":
        _responses_whole(event, draft)
    elif isinstance(kind, str) and kind in _NAMED:
        _NAMED[kind](event, draft)
    elif "candidates" in event or "usageMetadata" in event:
        gemini(event, draft)
    elif "choices" in event:
        _openai(event, draft)
    elif isinstance(event.get("output"), Mapping):
        _dashscope_or_converse(event, draft)
    elif not converse_event(event, draft):
        _plain(event, draft)


def text_of(content: object) -> str:
    """The text of a content value: text itself, or its text parts without those that are reasoning."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = (
        part if isinstance(part, str) else part.get("text")
        for part in parts
        if isinstance(part, str) or (isinstance(part, Mapping) and not part.get("thought"))
    )
    return "".join(text for text in texts if isinstance(text, str))


def _openai(event: Event, draft: Draft) -> None:
    """Chat Completions and legacy completions, whole or streamed; of several choices the first is read."""
    draft.name(event.get("id"), event.get("model"))
    for choice in objects(event.get("choices")):
        if choice.get("index") in (None, 0):
            _message(choice.get("delta") or choice.get("message"), draft)
            draft.write(choice.get("text"))
            draft.is_finished = draft.is_finished or choice.get("finish_reason") not in (None, "", "null")


def _message(message: object, draft: Draft) -> None:
    """A message or a piece of one in OpenAI's form, which most vendors share."""
    if not isinstance(message, Mapping):
        return
    draft.write(text_of(message.get("content")))
    draft.think(message.get("reasoning_content") or message.get("reasoning") or message.get("thinking"))
    old = message.get("function_call")
    if isinstance(old, Mapping):
        draft.ask("function_call", None, old.get("name"), old.get("arguments"))
    for call in objects(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, Mapping):
            draft.ask(_place(call, draft), call.get("id"), function.get("name"), function.get("arguments"))


def _place(call: Event, draft: Draft) -> str:
    """Where a piece of a tool call belongs: its index, else its id, else with the one before."""
    index, identity = call.get("index"), call.get("id")
    if isinstance(index, int):
        return str(index)
    if isinstance(identity, str) and identity:
        return identity
    function = call.get("function")
    begins = isinstance(function, Mapping) and function.get("name")
    return draft.new_place() if begins else draft.last_place() or draft.new_place()


def _responses_event(kind: str, event: Event, draft: Draft) -> None:
    """A streaming event of the Responses API; the last one holds the whole answer."""
    if kind in ("error", "response.failed"):
        draft.is_error = True
    if kind in ("response.output_text.delta", "response.reasoning_text.delta"):
        (draft.write if "output" in kind else draft.think)(event.get("delta"))
    elif kind == "response.output_item.done" and isinstance(event.get("item"), Mapping):
        if event["item"].get("type") == "function_call":
            _responses_item(event["item"], draft)
    elif isinstance(event.get("response"), Mapping):
        whole = event["response"]
        draft.name(whole.get("id"), whole.get("model"))
        draft.is_finished = draft.is_finished or kind in ("response.completed", "response.incomplete")
        if not draft.text.pieces and not draft.tool_calls():
            for item in objects(whole.get("output")):
                _responses_item(item, draft)


def _responses_whole(event: Event, draft: Draft) -> None:
    draft.name(event.get("id"), event.get("model"))
    draft.is_finished = event.get("status") in ("completed", "incomplete")
    for item in objects(event.get("output")):
        _responses_item(item, draft)


def _responses_item(item: Event, draft: Draft) -> None:
    if item.get("type") == "function_call":
        draft.ask(draft.new_place(), item.get("call_id"), item.get("name"), item.get("arguments"))
    elif item.get("type") == "reasoning":
        draft.think(text_of(item.get("summary") or item.get("content")))
    else:
        draft.write(text_of(item.get("content")))


def _cohere_delta(event: Event, draft: Draft) -> None:
    """A streaming event of Cohere's chat v2."""
    draft.name(event.get("id"))
    delta = event.get("delta")
    if not isinstance(delta, Mapping):
        return
    message = delta.get("message")
    if isinstance(message, Mapping):
        calls = message.get("tool_calls")
        place = event.get("index")
        _message(
            {**message, "tool_calls": [{**calls, "index": place}] if isinstance(calls, Mapping) else None},
            draft,
        )
    draft.is_finished = draft.is_finished or delta.get("finish_reason") is not None


_NAMED: Mapping[str, Callable[[Event, Draft], None]] = {
    "message": anthropic_message,
    "message_start": anthropic_start,
    "content_block_start": anthropic_block_start,
    "content_block_delta": anthropic_delta,
    "message_delta": anthropic_end,
    "message-start": _cohere_delta,
    "content-delta": _cohere_delta,
    "tool-call-start": _cohere_delta,
    "tool-call-delta": _cohere_delta,
    "message-end": _cohere_delta,
}


def _dashscope_or_converse(event: Event, draft: Draft) -> None:
    output = event["output"]
    draft.name(event.get("request_id"), event.get("model"))
    if isinstance(output.get("message"), Mapping):
        draft.is_finished = bool(event.get("stopReason"))
        for number, block in enumerate(objects(output["message"].get("content"))):
            converse_block(number, block, draft)
        return
    draft.may_repeat()
    draft.write(output.get("text"))
    choices = [*objects(output.get("choices")), output]
    draft.is_finished = any(choice.get("finish_reason") not in (None, "", "null") for choice in choices)
    _message(choices[0].get("message"), draft)


def _plain(event: Event, draft: Draft) -> None:
    """Embeddings, rerank, Cohere's and Ollama's answers, Bedrock's own models: a few keys at the top."""
    draft.name(event.get("id") or event.get("request_id"), event.get("model"))
    _message(event.get("message"), draft)
    draft.write(event.get("generation") or event.get("outputText") or event.get("response"))
    draft.is_finished = draft.is_finished or bool(
        event.get("done") or event.get("finish_reason") or "data" in event
    )
