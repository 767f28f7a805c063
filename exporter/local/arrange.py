"""What a chat format does to the messages before it writes them: system text moved or inserted, texts trimmed, thoughts
left out.

Pure; the messages given are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exporter.local.template import Place, Template
from exporter.model import PromptMessage


def arranged(template: Template, messages: Sequence[PromptMessage]) -> Sequence[PromptMessage]:
    """The messages as the format writes them, in order."""
    if template.drops_thoughts:
        messages = _without_thoughts(messages)
    if template.is_trimmed and template.place is Place.OWN:
        messages = [_trimmed(message) for message in messages]
    if template.default_system or template.preamble:
        messages = _with_system(template, messages)
    return messages if template.place is Place.OWN else _glued(template, messages)


def _without_thoughts(messages: Sequence[PromptMessage]) -> Sequence[PromptMessage]:
    """The thoughts in answers before the last user's words are dropped."""
    last = max((place for place, message in enumerate(messages) if message.role == "user"), default=0)
    return [
        replace(message, text=message.text.rpartition("</think>")[2].lstrip("\n"))
        if place < last and message.role == "assistant" and "</think>" in message.text
        else message
        for place, message in enumerate(messages)
    ]


def _with_system(template: Template, messages: Sequence[PromptMessage]) -> Sequence[PromptMessage]:
    if not messages or messages[0].role != "system":
        return (PromptMessage("system", template.preamble or template.default_system), *messages)
    if not template.preamble:
        return messages
    return (replace(messages[0], text=template.preamble + messages[0].text), *messages[1:])


def _glued(template: Template, messages: Sequence[PromptMessage]) -> Sequence[PromptMessage]:
    """The first message's system text moved into a user's words; where no user speaks it stays a message."""
    system = messages[0] if messages and messages[0].role == "system" else None
    talk = messages[1:] if system else messages
    if template.is_trimmed:
        talk = [_trimmed(message) for message in talk]
    users = [place for place, message in enumerate(talk) if message.role == "user"]
    if system is None or not users:
        return messages if system else talk
    target = users[0 if template.place is Place.FIRST_USER else -1]
    before, after = template.system_around
    merged = replace(talk[target], text=f"{before}{system.text}{after}{talk[target].text}")
    return (*talk[:target], merged, *talk[target + 1 :])


def _trimmed(message: PromptMessage) -> PromptMessage:
    text = message.text.strip()
    return message if len(text) == len(message.text) else replace(message, text=text)
