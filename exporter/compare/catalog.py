"""The words of every finding: what was seen and what to do, by code. The only place where they are written.

`{names}` are filled in by the rule that finds it. Codes are part of our interface (metrics, spans, `--json`): a code is
never renamed and never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model import Confidence, Finding


@dataclass(frozen=True, slots=True)
class Words:
    """What a finding says. `unseen` replaces `evidence` where no vendor reading tells the amount."""

    evidence: str
    advice: str
    unseen: str = ""


_NOT_LOST = "Use the vendor's number for this call; Dify cannot repair its record."

FINDINGS: dict[str, Words] = {
    "recorded_nothing_stopped": Words(
        "The answer was stopped; Dify keeps no tokens of a stopped call, but the vendor went on and billed {billed}.",
        f"{_NOT_LOST} Dify only counts at a stop with PLUGIN_BASED_TOKEN_COUNTING_ENABLED=true, and then estimates.",
        "The answer was stopped and Dify kept no tokens; the vendor usually bills such a call to its end.",
    ),
    "recorded_nothing_failed": Words(
        "The call failed after the vendor had begun to answer: Dify recorded nothing, the vendor billed {billed}.",
        f"{_NOT_LOST} Look for timeouts and cut connections between Dify and the vendor.",
    ),
    "recorded_nothing_abandoned": Words(
        "The row was never finished (client hung up, process killed, or stopped while the model was writing): "
        "Dify recorded nothing, the vendor billed {billed}.",
        f"{_NOT_LOST} Clients that disconnect early and restarts of Dify's api and worker cause this.",
        "The row was never finished (client hung up, process killed, or stopped while the model was writing) and holds "
        "no tokens; the vendor usually bills such a call.",
    ),
    "recorded_nothing_finished": Words(
        "The call ended well, but Dify recorded 0 tokens; the vendor billed {billed}. The plugin passed on no usage.",
        "Update the model plugin; for an OpenAI-compatible endpoint switch on stream usage (stream_include_usage).",
        "Dify recorded 0 tokens for an answer: right for a preset answer (moderation), else the plugin passed on no usage.",
    ),
    "rounds_not_in_message": Words(
        "Dify kept {kept} with the agent's round, but 0 in the message that shows and sums it, because the message did "
        "not end well.",
        "Use the vendor's number; Dify's statistics miss these tokens.",
        "Dify kept {kept} with the agent's round, but 0 in the message that shows and sums it.",
    ),
    "agent_total_only": Words(
        "The agent strategy told Dify only the total of {total} tokens, not input and output; the vendor's total is the "
        "same.",
        "Dify's messages and statistics show 0 for this call. The function-calling strategy reports both parts.",
        "The agent strategy told Dify only the total of {total} tokens, not input and output.",
    ),
    "plugin_estimate": Words(
        "The vendor's usage did not reach the plugin, so it counted by itself: Dify recorded {recorded}, the vendor "
        "billed {billed}.",
        "Let the endpoint send usage in streams (stream_include_usage in the plugin, or forced by the gateway).",
        "The recorded {recorded} is the plugin's own estimate, not the vendor's usage.",
    ),
    "cache_price_weighted": Words(
        "The plugin stores a price equivalent as input tokens: uncached + {factor} x cache writes ({written}) + 0.1 x "
        "cache reads ({read}) = {weighted}, where the vendor counted {counted}.",
        "Dify's price is right and its token count is not; take token counts from the vendor.",
        "With prompt caching this plugin stores a price equivalent as input tokens, so the recorded input is no count.",
    ),
    "cache_left_out": Words(
        "The plugin leaves the vendor's cached tokens out: {read} read from and {written} written to the cache.",
        "Take input tokens from the vendor; Dify's price for this call is too low.",
    ),
    "retry_billed": Words(
        "{number} earlier attempt(s) of this call were billed as well ({billed}); Dify records only the last one.",
        "Look for broken streams and too short timeouts; every retry is paid for.",
    ),
    "gateway_cache_hit": Words(
        "A gateway answered from its own cache: the vendor was not asked, Dify recorded {recorded} all the same.",
        "Dify's cost for this call was not charged by the vendor.",
    ),
    "vendor_usage_unknown": Words(
        "The request was found in the vendor evidence, but nobody counted it (stream broken off, or no usage logged).",
        "Expect the vendor's bill to hold tokens for this call; let the gateway ask for stream usage.",
    ),
    "local_differs": Words(
        "Dify recorded {recorded}; our own count is {counted} ({tokenizer}, {accuracy}{error}).",
        "Add vendor evidence for this model to learn which of the two is right.",
    ),
    "containers_counted_twice": Words(
        "{where} counts iterations and loops twice: {shown} instead of {true} (containers repeat {containers}).",
        "Use the sum of the model calls. Known in Dify 1.9.2 to 1.10.0 for runs and at least to 1.14 for chatflow "
        "messages.",
    ),
    "message_total_zero": Words(
        "The message shows 0 tokens although its model calls recorded {true}.",
        "Dify's message statistics miss this trace; use the sum of the model calls.",
    ),
    "message_total_differs": Words(
        "The message shows {shown} tokens, its model calls recorded {true}.",
        "Use the sum of the model calls; the message is added up on another path and goes wrong by version.",
    ),
    "run_total_zero": Words(
        "The workflow run shows 0 tokens although its model calls recorded {true}: it was never finished, or this "
        "version (1.9.0, 1.9.1) does not add up.",
        "Use the sum of the model calls.",
    ),
    "run_total_differs": Words(
        "The workflow run shows {shown} tokens, its model calls recorded {true}.",
        "A workflow used as a tool is counted in its parent and again in its own run; never add the two.",
    ),
}
"""Every finding by its code."""


def finding(
    code: str, confidence: Confidence, amount: tuple[int, int] = (0, 0), *, seen: bool = True, **facts: object
) -> Finding:
    """The Finding of a code with its words filled in. `amount` is vendor − dify as (input, output)."""
    words = FINDINGS[code]
    evidence = words.evidence if seen else words.unseen or words.evidence
    return Finding(code, *amount, confidence, evidence.format(**facts), words.advice)


def split(tokens_in: int | None, tokens_out: int | None) -> str:
    """`12 + 7 tokens`, input first; unknown parts as `?`."""
    shown = ("?" if number is None else str(number) for number in (tokens_in, tokens_out))
    return f"{' + '.join(shown)} tokens"
