"""The operator's own word on which model counts how: rules that win over the table of known names.

Pure apart from `use`, which puts the rules of the settings in force for the whole process, once, at start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from exporter.local import chat, table
from exporter.local.family import Family

CHOSEN = "chosen in the settings"

TOKENIZERS = {
    "OpenAiTokenizer": ("gpt-4o", ("gpt", "o-", "text-embedding", "openai")),
    "AnthropicTokenizer": ("claude", ("claude",)),
    "GeminiTokenizer": ("gemini-2.5", ("gemini", "gemma")),
    "Llama3Tokenizer": ("llama-3", ("llama-3",)),
    "MistralTokenizer": ("mistral", ("mistral", "magistral")),
    "QwenTokenizer": ("qwen-3", ("qwen", "qwq")),
}
"""The names in Dify's list of tokenizers → the family meant, unless the model's own name tells another one of the same
maker (its families' names begin so)."""

VOCABULARIES = {
    "o200k_base": "gpt-4o",
    "cl100k_base": "gpt-4",
    "claude2": "claude-2",
    "claude_v3": "claude-3",
    "claude_v4_7": "claude-4.7",
    "claude_v4_8": "claude-4.8",
    "gemma2": "gemma-2",
    "gemma3": "gemma-3",
    "gemma4": "gemma-4",
    "llama2": "llama-2",
    "llama3": "llama-3",
    "llama4": "llama-4",
    "mistral_v1": "mistral-v1",
    "mistral_v2": "mistral-v3",
    "mistral_tekken": "mistral",
    "qwen": "qwen-3",
    "deepseek_v3": "deepseek",
    "glm4": "glm-4",
    "kimi_k2": "kimi-k2",
}
"""A vocabulary chosen by its own name → the family whose format and accuracy go with it."""

TEMPLATES = {
    name.lower(): value
    for name, value in vars(chat).items()
    if name.isupper() and isinstance(value, chat.Template)
}
"""Every known chat format by its name."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Models whose name matches the glob (case does not matter) are of this family, or counted with this tokenizer (one
    of `TOKENIZERS`, or the name of a vocabulary), in this chat format. What is None stays as the name tells it."""

    match: str
    family: str | None = None
    tokenizer: str | None = None
    template: str | None = None
    note: str | None = None


Mapping = tuple[Rule, ...]


def use(rules: Iterable[Rule]) -> None:
    """Put these rules in force. They are those of the settings, which do not change while a process runs."""
    global _in_force
    _in_force = tuple(rules)


def in_force() -> Mapping:
    """The rules that `use` was given last; none at first."""
    return _in_force


def problem(rule: Rule) -> str | None:
    """Why a rule cannot work, or None."""
    if not rule.match:
        return "match is empty; * means every model"
    if rule.family and rule.tokenizer:
        return "family and tokenizer exclude each other"
    if not (rule.family or rule.tokenizer or rule.template):
        return "one of family, tokenizer and template is needed"
    for what, given, known in (
        ("family", rule.family, (*table.BY_NAME,)),
        ("tokenizer", rule.tokenizer, (*TOKENIZERS, *VOCABULARIES)),
        ("template", rule.template, (*TEMPLATES,)),
    ):
        if given and given not in known:
            return f"{what} {given!r} is none of {', '.join(sorted(known))}"
    return None


def rule_for(mapping: Mapping, model: str) -> Rule | None:
    """The first rule that matches the name as Dify writes it."""
    name = model.strip().lower()
    return next((rule for rule in mapping if fnmatchcase(name, rule.match.strip().lower())), None)


def applied(rule: Rule, told_by_name: Family) -> Family:
    """The family that a rule makes of a model whose name tells `told_by_name`."""
    found = _chosen(rule, told_by_name)
    if rule.template and TEMPLATES[rule.template] != found.template:
        template = TEMPLATES[rule.template]
        stand_in = found.stand_in and replace(found.stand_in, template=template)
        found = replace(found, template=template, stand_in=stand_in)
    return found.noted(f"{CHOSEN}: {rule.note}" if rule.note else CHOSEN)


def _chosen(rule: Rule, told_by_name: Family) -> Family:
    if rule.family:
        return table.BY_NAME[rule.family]
    if rule.tokenizer in TOKENIZERS:
        usual, of_maker = TOKENIZERS[rule.tokenizer]
        return table.BY_NAME[told_by_name.name if told_by_name.name.startswith(of_maker) else usual]
    if rule.tokenizer:
        return table.BY_NAME[VOCABULARIES[rule.tokenizer]]
    return told_by_name


_in_force: Mapping = ()
