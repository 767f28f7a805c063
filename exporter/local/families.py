"""Which family a model belongs to: the operator's rules first, then the table of names, then the plugin it is called
through.

A pure function of the rules, the model and the provider, and of what is installed: a family whose vocabulary comes
with an extra that is missing is counted by its stand-in and says so.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from exporter.local import mapping, vocabulary
from exporter.local.family import Family, Reasoning
from exporter.local.names import bare
from exporter.local.table import BY_NAME, BY_PROVIDER, ROWS, UNKNOWN
from exporter.model import Accuracy

__all__ = ["Family", "Reasoning", "family"]

_GUESS_ERROR_PCT = 15.0


def family(model: str | None, provider: str | None = None) -> Family:
    """The family of a model as Dify names it; `provider` is the last segment of Dify's provider id.

    A rule of the settings (`mapping.use`) wins. Else vendor prefixes (`openai/…`, `us.anthropic.…`), dates, fine-tunes
    (`ft:gpt-4o-mini:org::id`) and Azure spellings (`gpt-35-turbo`) are understood. A family found inside a name
    (`prod-gpt-4o`) is only a guess and loses its claim to exactness.
    """
    return _family(mapping.in_force(), model or "", provider or "")


@lru_cache(maxsize=4096)
def _family(rules: mapping.Mapping, model: str, provider: str) -> Family:
    told = _told(model, provider)
    rule = mapping.rule_for(rules, model)
    return _countable(mapping.applied(rule, told) if rule else told)


def _told(model: str, provider: str) -> Family:
    name = bare(model)
    for pattern, found in ROWS:
        match = pattern.search(name)
        if match:
            return found if match.start() == 0 else _guessed(found, "family guessed from the model's name")
    hint = BY_PROVIDER.get(provider)
    return _guessed(BY_NAME[hint], "family guessed from the provider") if hint else UNKNOWN


def _guessed(found: Family, guess: str) -> Family:
    if found.vocabulary is None:
        return found.noted(guess)
    return replace(
        found,
        accuracy=Accuracy.APPROXIMATE,
        error_pct=max(found.error_pct, _GUESS_ERROR_PCT),
        stand_in=found.stand_in and _guessed(found.stand_in, guess),
    ).noted(guess)


def _countable(found: Family) -> Family:
    """The family itself, or its stand-in while its vocabulary is not installed."""
    if found.vocabulary is None or found.stand_in is None:
        return found
    missing = vocabulary.missing(found.vocabulary)
    if missing is None:
        return replace(found, stand_in=None)
    notes = [part for part in (found.note, found.stand_in.note, missing) if part]
    return replace(found.stand_in, note="; ".join(dict.fromkeys(notes)))
