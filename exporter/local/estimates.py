"""Tells from the trace alone what kind of number Dify recorded: the vendor's, the plugin's own estimate, or none.

Never raises. What the numbers themselves prove comes first (nothing recorded, an estimate by a known formula,
visible prompt caching); else the provider table speaks, and where that does not know either the kind is UNKNOWN.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exporter.local.families import family
from exporter.local.formulas import GPT2_LIMIT_CHARS, Formula, recognise_estimate
from exporter.local.providers import Fallback, Provider, Source, applies, provider_of
from exporter.model import Call, DifyKind, DifyReading

_CACHE_TAG = "<cache>"
_OTHER_CACHE_SWITCHES = (
    "prompt_caching_message_flow",
    "prompt_caching_tool_definitions",
    "prompt_caching_tool_results",
    "prompt_caching_images",
    "prompt_caching_documents",
)


class Rule(StrEnum):
    """The rule by which a plugin came to its estimate (SDK and plugin sources, see `formulas`)."""

    GPT2_FIRST_MESSAGE = "gpt2_first_message"
    GPT2_ALL_MESSAGES = "gpt2_all_messages"
    FIVE_PER_CHARACTER = "five_per_character"
    CHARACTER_COUNT = "character_count"
    OPENAI_MESSAGES = "openai_messages"
    OPENAI_JOINED = "openai_joined"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How Dify's number was estimated: the rule that gives exactly the recorded numbers, and its vocabulary."""

    rule: Rule
    vocabulary: str | None = None


def estimate_of(call: Call) -> Estimate | None:
    """The rule that gives both recorded numbers, or None where no known rule does. Never raises."""
    formula = recognise_estimate(call)
    match formula:
        case None:
            return None
        case Formula.GPT2_FIRST_MESSAGE if call.prompt and len(call.prompt[0].text) >= GPT2_LIMIT_CHARS:
            return Estimate(Rule.CHARACTER_COUNT)
        case Formula.OPENAI_MESSAGES | Formula.OPENAI_JOINED:
            return Estimate(Rule(formula.value), family(call.model, call.provider).vocabulary)
        case _:
            return Estimate(Rule(formula.value), "r50k_base")


def classify_recorded(call: Call) -> DifyReading | None:
    """The `dify` reading of a call: what was recorded, with the kind of number it is. None without a record."""
    recorded = call.recorded
    if recorded is None:
        return None
    return DifyReading(
        tokens=recorded.tokens,
        provenance=recorded.provenance,
        kind=_kind(call),
        total=recorded.total,
        cost=recorded.cost,
        rates=recorded.rates,
    )


def _kind(call: Call) -> DifyKind:
    if _is_zero(call):
        return DifyKind.ZERO
    provider = provider_of(call.provider, call.kind)
    if provider and applies(provider.weights_cached, call.model):
        if _caches_by_tag(call):
            return DifyKind.PRICE_WEIGHTED
        if any(dict(call.parameters).get(switch) for switch in _OTHER_CACHE_SWITCHES):
            return DifyKind.UNKNOWN
    if recognise_estimate(call):
        return DifyKind.ESTIMATE
    return _kind_by_table(call, provider)


def _kind_by_table(call: Call, provider: Provider | None) -> DifyKind:
    if provider is None or not _has_numbers(call):
        return DifyKind.UNKNOWN
    match provider.source:
        case Source.VENDOR | Source.VENDOR_FIRST:
            return DifyKind.VENDOR_PASSED
        case Source.IF_SENT if provider.fallback is Fallback.GPT2 and _is_testable(call):
            return DifyKind.VENDOR_PASSED
        case Source.ESTIMATE:
            return DifyKind.ESTIMATE
        case _:
            return DifyKind.UNKNOWN


def _is_zero(call: Call) -> bool:
    recorded = call.recorded
    return (
        recorded is not None
        and (recorded.tokens.input, recorded.tokens.output) == (0, 0)
        and not recorded.total
    )


def _has_numbers(call: Call) -> bool:
    recorded = call.recorded
    return recorded is not None and (
        recorded.total is not None or recorded.tokens.input is not None or recorded.tokens.output is not None
    )


def _is_testable(call: Call) -> bool:
    """Whether a GPT-2 estimate would have been recognised: both numbers and the whole texts are there."""
    recorded = call.recorded
    return bool(
        recorded
        and recorded.tokens.input is not None
        and recorded.tokens.output is not None
        and call.prompt
        and (call.answer is not None or call.tool_calls)
        and not any("prompt" in part for part in call.missing)
    )


def _caches_by_tag(call: Call) -> bool:
    """The anthropic plugin caches what stands between `<cache>` tags, unless its switch says otherwise."""
    if dict(call.parameters).get("prompt_caching_system_message") is False:
        return False
    return any(_CACHE_TAG in message.text for message in call.prompt or ())
