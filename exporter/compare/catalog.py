"""The one table of everything a finding can say: by code, what it means, what was seen, and what to do.

Codes are part of our interface (metrics, spans, `--json`): a code is never renamed and never changes its meaning. The
findings tables of docs/readings.md are generated from here. `wording.finding` fills in the `{names}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What a finding is about: one call, one trace (never added to its calls), or a window of time."""

    CALL = "call"
    TRACE = "trace"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Words:
    """One row. `means` explains the code in general; `evidence` tells the case, `unseen` the same where no vendor number
    is known; `advice` is what to do. All are plain sentences."""

    title: str
    means: str
    evidence: str
    advice: str
    unseen: str = ""
    level: Level = Level.CALL


_NOT_LOST = "Use the vendor's number for this call; Dify cannot repair its record."
_STREAM_USAGE = (
    "Let the endpoint send usage in streams (stream_include_usage in the plugin, or forced by the gateway)."
)
_SYSTEM_MODEL = "choose a cheaper system model in Dify's model settings"

FINDINGS: dict[str, Words] = {
    # ── Dify recorded nothing ───────────────────────────────────────────────────────────────────────────────
    "recorded_nothing_stopped": Words(
        "Stopped by the user",
        "The answer was stopped. Dify keeps no tokens of a stopped call; the vendor goes on and bills it to its end.",
        "The answer was stopped; Dify keeps no tokens of a stopped call, but the vendor went on and billed {billed}.",
        f"{_NOT_LOST} Dify only counts at a stop with PLUGIN_BASED_TOKEN_COUNTING_ENABLED=true, and then estimates.",
        "The answer was stopped and Dify kept no tokens; the vendor usually bills such a call to its end.",
    ),
    "client_hung_up": Words(
        "Client hung up",
        "The client closed the connection before the answer was complete, so the message stayed empty with 0 tokens. "
        "(A killed API process leaves the same row.) The vendor bills the whole answer.",
        "The message is still empty: the client hung up before the end (or the API process was killed). Dify recorded "
        "nothing, the vendor billed {billed}.",
        f"{_NOT_LOST} Look for timeouts in the client and in proxies before Dify, and for restarts of Dify's api.",
        "The message is still empty: the client hung up before the end (or the API process was killed). Dify kept no "
        "tokens; the vendor usually bills such a call to its end.",
    ),
    "process_died": Words(
        "Process died",
        "The process that ran the workflow died in the middle, so nothing was saved: neither the call nor the message "
        "around it. The vendor bills what was asked.",
        "Run and message were never finished, so the process that ran them died. Dify recorded nothing, the vendor "
        "billed {billed}.",
        f"{_NOT_LOST} Look for kills, restarts and lack of memory of Dify's worker and api.",
        "Run and message were never finished, so the process that ran them died; the vendor usually bills what was asked.",
    ),
    "recorded_nothing_abandoned": Words(
        "Left open",
        "The run was never finished: stopped while a model was writing (Dify never closes such a run), or its process "
        "died. The record cannot tell the two apart.",
        "The run was never finished (stopped while the model was writing, or its process died): Dify recorded nothing, "
        "the vendor billed {billed}.",
        f"{_NOT_LOST} Stops in the middle of an answer and restarts of Dify's worker and api cause this.",
        "The run was never finished (stopped while the model was writing, or its process died) and holds no tokens; the "
        "vendor usually bills such a call.",
    ),
    "stream_cut": Words(
        "Stream cut",
        "The vendor's stream broke off in the middle of the answer. Dify drops the call; the vendor bills what it had "
        "written.",
        "The stream broke off in the middle of the answer: Dify recorded nothing, the vendor billed {billed}.",
        f"{_NOT_LOST} Look for idle timeouts and connection limits between Dify and the vendor.",
        "The stream broke off in the middle of the answer and Dify kept no tokens; the vendor usually bills what it wrote.",
    ),
    "recorded_nothing_failed": Words(
        "Failed but billed",
        "The call failed for Dify after the vendor had begun to answer, which is billed.",
        "The call failed after the vendor had begun to answer: Dify recorded nothing, the vendor billed {billed}.",
        f"{_NOT_LOST} Read the call's error; a timeout shorter than the model's answer is the usual reason.",
    ),
    "recorded_nothing_finished": Words(
        "No usage passed on",
        "The call ended well, but Dify recorded 0 tokens, because the plugin passed no usage on.",
        "The call ended well, but Dify recorded 0 tokens; the vendor billed {billed}. The plugin passed on no usage.",
        "Update the model plugin; for an OpenAI-compatible endpoint switch on stream usage (stream_include_usage).",
        "Dify recorded 0 tokens for an answer: right for a preset answer (moderation), else the plugin passed on no usage.",
    ),
    "agent_rounds_lost": Words(
        "Agent rounds lost",
        "A later round of an agent node failed, and Dify threw away the rounds that the vendor had answered and billed.",
        "A later round of the agent failed, and Dify dropped the {rounds} round(s) answered before: the vendor billed "
        "{billed}.",
        f"{_NOT_LOST} Retry settings of the agent's model help more than a retry of the whole node, which asks again.",
    ),
    "rounds_not_in_message": Words(
        "Agent rounds missing",
        "Dify kept an agent's round, but not in the message that shows and sums it, because the message did not end well.",
        "Dify kept {kept} with the agent's round, but 0 in the message that shows and sums it, because {why}.",
        "Use the vendor's number; Dify's statistics miss these tokens.",
        "Dify kept {kept} with the agent's round, but 0 in the message that shows and sums it, because {why}.",
    ),
    # ── Dify's number is no vendor number ───────────────────────────────────────────────────────────────────
    "agent_total_only": Words(
        "Agent total only",
        "Only a total is known of an agent's call, not input and output: an agent node's strategy (ReAct) told Dify no more, "
        "or Dify's Console API tells no more of an agent app's round.",
        "Only the total of {total} tokens is known of this agent's call, not input and output; the vendor's total is the "
        "same.",
        "Where it is an agent node, Dify's messages and statistics show 0 for this call, and the function-calling strategy "
        "reports both parts; of an agent app, Dify's database holds both.",
        "Only the total of {total} tokens is known of this agent's call, not input and output.",
    ),
    "plugin_estimate": Words(
        "Estimated by the plugin",
        "The vendor's usage did not reach the plugin, so it counted by itself. The evidence names the rule it used.",
        "The vendor's usage did not reach the plugin, so it counted by itself ({rule}): Dify recorded {recorded}, the "
        "vendor billed {billed}.",
        _STREAM_USAGE,
        "The recorded {recorded} is the plugin's own estimate ({rule}), not the vendor's usage.",
    ),
    "wrong_tokenizer": Words(
        "Wrong tokenizer",
        "Dify's number is not the vendor's, but exactly what another tokenizer counts in the texts that Dify kept. The "
        "evidence names it.",
        "Dify's {recorded} is exactly what {counter} counts in the kept texts; the vendor counted {billed}.",
        f"Somebody between the vendor and Dify counts by itself. {_STREAM_USAGE}",
        "Dify's {recorded} is exactly what {counter} counts in the kept texts, which is not this model's tokenizer.",
    ),
    "usage_of_first_chunk": Words(
        "First chunk only",
        "The endpoint repeats its usage with every chunk, and a workflow's LLM node keeps the first one, when hardly "
        "anything was written.",
        "Dify recorded {recorded} output tokens although the answer it kept has about {counted}: it took the usage of an "
        "early chunk, the vendor counted {billed}.",
        "Let the endpoint or the gateway send usage once, at the end of the stream.",
    ),
    "cache_price_weighted": Words(
        "Price-weighted prompt",
        "Claude with prompt caching: the plugin stores a price equivalent where input tokens should be.",
        "The plugin stores a price equivalent as input tokens: uncached + {factor} x cache writes ({written}) + 0.1 x "
        "cache reads ({read}) = {weighted}, where the vendor counted {counted}.",
        "Dify's price is right and its token count is not; take token counts from the vendor.",
        "With prompt caching this plugin stores a price equivalent as input tokens, so the recorded input is no count.",
    ),
    "cache_left_out": Words(
        "Cached tokens left out",
        "The plugin leaves the vendor's cached tokens out of the input.",
        "The plugin leaves the vendor's cached tokens out: {read} read from and {written} written to the cache.",
        "Take input tokens from the vendor; Dify's price for this call is too low.",
    ),
    # ── more or less was billed than this call shows ────────────────────────────────────────────────────────
    "retry_billed": Words(
        "Retry billed",
        "Earlier attempts of the same call were billed as well; Dify records the last one only.",
        "{number} earlier attempt(s) of this call were billed as well ({billed}); Dify records only the last one.",
        "Look for broken streams and too short timeouts; every retry is paid for.",
    ),
    "gateway_cache_hit": Words(
        "Gateway cache hit",
        "A gateway answered from its own cache; the vendor was not asked and charges nothing.",
        "A gateway answered from its own cache: the vendor was not asked, Dify recorded {recorded} all the same.",
        "Dify's cost for this call was not charged by the vendor.",
    ),
    "gateway_estimate": Words(
        "Counted by the gateway",
        "The vendor sent the gateway no usage, so the gateway counted by itself: its number stands in for the vendor's "
        "and may be off.",
        "The vendor's side is the gateway's own count, not the vendor's usage, so what differs may be its error.",
        "Let the gateway ask for usage in streams, and compare with the vendor's bill before trusting either number.",
    ),
    # ── calls that Dify makes on its own, and calls whose row is gone ────────────────────────────────────────────────────────────────────
    "hidden_title": Words(
        "Conversation title",
        "Dify lets a model write a title for every new conversation, and records nothing of it.",
        "Dify asked a model for the conversation's title and recorded nothing of it; the vendor billed {billed}.",
        f"Send auto_generate_name=false with the first message if nobody reads titles, or {_SYSTEM_MODEL}.",
    ),
    "hidden_questions": Words(
        "Suggested questions",
        "Dify lets a model suggest the next questions after an answer, and records nothing of it.",
        "Dify asked a model for suggested questions and recorded nothing of it; the vendor billed {billed}.",
        f"Switch the feature off where nobody uses it, or {_SYSTEM_MODEL}.",
    ),
    "hidden_embedding": Words(
        "Embedding not recorded",
        "A query, document or annotation was embedded. Dify records no usage of embeddings with messages or runs.",
        "Dify had a text embedded and recorded nothing of it; the vendor billed {billed}.",
        "Add embeddings to what Dify shows; its own numbers never include them.",
    ),
    "hidden_rerank": Words(
        "Rerank not recorded",
        "Found passages were put in order by a rerank model. Dify records no usage of it.",
        "Dify had passages reranked and recorded nothing of it; the vendor billed {billed}.",
        "Add rerank calls to what Dify shows; its own numbers never include them. Fewer candidates (top k) cost less.",
    ),
    "hidden_retrieval": Words(
        "Retrieval helper",
        "Before it searches, Dify asks a model which dataset to use or which metadata to filter by. Chat apps record "
        "nothing of it; workflows do from 1.9.2 on.",
        "Dify asked a model how to search its knowledge ({what}) and recorded nothing of it; the vendor billed {billed}.",
        "Multi-path retrieval and manual metadata filters need no such call.",
    ),
    "hidden_indexing": Words(
        "Indexing helper",
        "While indexing documents Dify asks a model once per segment, for question-answer pairs or summaries, and records "
        "nothing of it.",
        "Dify asked a model while indexing a document ({what}) and recorded nothing of it; the vendor billed {billed}.",
        f"Index with question-answer segments or summaries only where they help, or {_SYSTEM_MODEL}.",
    ),
    "hidden_other": Words(
        "Other hidden call",
        "Another call that Dify makes on its own and records nowhere: the editor's generators, tool summaries, "
        "credential checks.",
        "Dify made this call on its own ({what}) and recorded nothing of it; the vendor billed {billed}.",
        "Count it to running Dify; no message or run will ever show it.",
    ),
    "row_missing": Words(
        "Row missing",
        "A user that Dify knows made a vendor request to which no row belongs: the conversation was deleted, cleaned up, "
        "or never saved.",
        "The vendor billed {billed} for a user that Dify knows, and Dify has no row of it: deleted, cleaned up, or never "
        "saved.",
        "Export before Dify's retention deletes rows; deleted conversations stay on the vendor's bill.",
    ),
    # ── told without an amount ──────────────────────────────────────────────────────────────────────────────
    "cached_at_full_price": Words(
        "Cached tokens at full price",
        "Part of the input came from the vendor's cache, which costs less. Dify does not tell these tokens apart and "
        "prices them in full.",
        "{read} of the {counted} input tokens came from the vendor's cache, which costs less; Dify does not tell them "
        "apart and prices them in full.",
        "Tokens agree, money does not: take the cost from the vendor.",
    ),
    "reasoning_invisible": Words(
        "Reasoning not visible",
        "Part of the output is the model's reasoning, which is billed but stands in no text, so no recount can see it.",
        "{reasoning} of the {written} output tokens are reasoning, which is billed and stands in no text that Dify kept.",
        "Expect local counts of the output to be lower by that much; a lower reasoning effort costs less.",
    ),
    "not_in_recount": Words(
        "Not in the recount",
        "The request also held tool definitions, an output schema or pictures, of which Dify keeps no content, so our "
        "recount of its texts is lower than the vendor's number.",
        "The request also held {parts}, of which Dify keeps no content: our recount of the texts is {gap} input tokens "
        "lower than the vendor's number.",
        "Trust the vendor's number; a recount of such a call is a lower bound.",
    ),
    "request_changed": Words(
        "Request changed",
        "The vendor received messages that Dify's record does not hold: a gateway or the plugin added them.",
        "The vendor received {added} message(s) that Dify's record does not hold: a gateway or the plugin added them.",
        "Look for prompt templates and guardrails in the gateway; what they add is billed with every call.",
    ),
    "model_substituted": Words(
        "Another model answered",
        "Another model answered than the one Dify asked for: a fallback or a router of the gateway or the vendor.",
        "Dify asked for {asked}, and {served} answered: a fallback or a router chose it.",
        "Take the price from the model that answered; Dify's price is that of the model it asked for.",
    ),
    "special_rates": Words(
        "Parts with other rates",
        "Part of the tokens is not billed like the rest: cached input, cache writes, reasoning, or a price for each request. "
        "Dify knows two rates only.",
        "Not all of it is billed at the plain rates for input and output ({parts}), which moves the cost by {moved}; "
        "Dify knows two rates only ({origin}).",
        "Tokens are not at fault; take the cost from the vendor.",
    ),
    "price_differs": Words(
        "Dify's price differs",
        "Dify multiplies its tokens by other prices than the price book: those of the plugin's model file, which is as old as "
        "the plugin, or the ones that somebody typed in.",
        "{what}. For its {tokens} that is {recorded} instead of {book} ({origin}). Over 1,000 such calls that is {thousand}.",
        "Update the model plugin or correct the price in Dify; if your contract has other prices, write them into your price "
        "book.",
    ),
    "price_tier": Words(
        "Long input price",
        "The vendor asks more (or less) for the whole request when its input is long. Dify has one price for all lengths.",
        "Dify asks {recorded} for its {tokens}, the price for shorter inputs; at this length it is {book} ({rates}; {origin}). "
        "Over 1,000 such calls that is {thousand}.",
        "Keep inputs below the step where that is possible, and take the cost from the vendor where it is not.",
    ),
    "price_hours": Words(
        "Price of the hour",
        "The vendor's price depends on the time of day. Dify has one price for all hours.",
        "Dify asks {recorded} for its {tokens}, the price of other hours; at this one it is {book} ({rates}; {origin}). Over "
        "1,000 such calls that is {thousand}.",
        "Move work that can wait to the cheaper hours, and take the cost from the vendor.",
    ),
    "price_missing": Words(
        "No price in Dify",
        "Dify has no price for this model, so its costs show 0; the price book has one.",
        "Dify has no price for this model and shows 0 for {tokens}; the price book says {book} ({origin}). Over 1,000 such "
        "calls that is {thousand}.",
        "Take the cost from the vendor or from the price book; the form for OpenAI-compatible models has no field for prices.",
    ),
    "charge_differs": Words(
        "Charged above or below",
        "What the vendor or gateway says it charged is not what the price book says of the same tokens: a mark-up, a discount, "
        "or a price that one of them does not know yet.",
        "Charged were {billed}, the price book says {book} for the same tokens ({percent}; {origin}).",
        "Write your contract's prices into the price book, or ask the gateway which price list it uses.",
    ),
    "batch_charged": Words(
        "Batch price charged",
        "The charge is the vendor's price for batches, which Dify and the plain list do not know.",
        "Charged were {billed}, the price of a {way}, where the plain price is {book} ({origin}).",
        "Nothing is wrong; Dify's cost of such calls is too high.",
    ),
    "service_tier_charged": Words(
        "Service tier charged",
        "The charge is that of another service tier (flex, priority), which Dify does not know.",
        "Charged were {billed}, the price of the {way} tier, where the plain price is {book} ({origin}).",
        "Take the cost from the vendor; the tier is chosen in the request or in the vendor's project.",
    ),
    "currency_differs": Words(
        "Another currency",
        "Vendor and Dify state the cost in different currencies; the amounts must not be subtracted.",
        "The vendor's cost is in {billed}, Dify's in {recorded}; the amounts must not be subtracted.",
        "Compare tokens, or give an exchange rate in the settings (prices.rates).",
    ),
    "currency_converted": Words(
        "Currency converted",
        "Vendor and Dify state the cost in different currencies; Dify's was converted at the rate that you gave.",
        "The vendor's cost is in {billed}; Dify's is taken as {recorded} ({how}).",
        "A bill in another currency uses the rate of its own day, so expect a small rest.",
    ),
    "duplicate_record": Words(
        "Logged twice",
        "Several sources logged the same request; it is counted once.",
        "The request was also logged by {sources}; it is counted once.",
        "Nothing is wrong; one source per endpoint is enough.",
    ),
    "vendor_usage_unknown": Words(
        "Vendor usage unknown",
        "The request was found in the vendor evidence, but nobody counted it.",
        "The request was found in the vendor evidence, but nobody counted it (stream broken off, or no usage logged).",
        "Expect the vendor's bill to hold tokens for this call; let the gateway ask for stream usage.",
    ),
    "local_differs": Words(
        "Local count differs",
        "There is no vendor evidence, and our own count of the kept texts differs from Dify's record.",
        "Dify recorded {recorded}; our own count is {counted} ({tokenizer}, {accuracy}{error}).",
        "Add vendor evidence for this model to learn which of the two is right.",
    ),
    # ── of a trace: Dify's own sums ─────────────────────────────────────────────────────────────────────────
    "containers_counted_twice": Words(
        "Containers counted twice",
        "The message or the run counts iterations and loops twice: once themselves, once the calls inside them.",
        "{where} counts iterations and loops twice: {shown} instead of {true} (containers repeat {containers}).",
        "Use the sum of the model calls. Known in Dify 1.9.2 to 1.10.0 for runs and at least to 1.14 for chatflow "
        "messages.",
        level=Level.TRACE,
    ),
    "workflow_tool_counted_twice": Words(
        "Child run counted twice",
        "A workflow used as a tool is counted in the run that called it and again in its own run.",
        "{where} shows {shown} tokens: {true} of its own calls and {child} of the workflow that its tool node called "
        "({tools}). That workflow's own run counts the same {child} again.",
        "Never add a parent run to its child runs; use the sum of the model calls.",
        level=Level.TRACE,
    ),
    "message_total_zero": Words(
        "Message shows 0",
        "The message shows 0 tokens although its model calls recorded some.",
        "The message shows 0 tokens although its model calls recorded {true}.",
        "Dify's message statistics miss this trace; use the sum of the model calls.",
        level=Level.TRACE,
    ),
    "message_total_differs": Words(
        "Message sum differs",
        "The message shows another sum than its model calls.",
        "The message shows {shown} tokens, its model calls recorded {true}.",
        "Use the sum of the model calls; the message is added up on another path and goes wrong by version.",
        level=Level.TRACE,
    ),
    "run_total_zero": Words(
        "Run shows 0",
        "The run shows 0 tokens although its model calls recorded some: it was never finished, or its Dify (1.9.0, 1.9.1) "
        "does not add up.",
        "The workflow run shows 0 tokens although its model calls recorded {true}: {why}.",
        "Use the sum of the model calls.",
        level=Level.TRACE,
    ),
    "run_total_differs": Words(
        "Run sum differs",
        "The run shows another sum than its model calls.",
        "The workflow run shows {shown} tokens, its model calls recorded {true}.",
        "Use the sum of the model calls; the run is added up on another path and goes wrong by version.",
        level=Level.TRACE,
    ),
    "mixed_currencies": Words(
        "Mixed currencies",
        "The calls of one trace are priced in different currencies. Dify adds the amounts as they are and labels the sum "
        "with the last currency.",
        "The calls are priced in {currencies}; Dify adds the amounts as they are and labels the sum with the last "
        "currency.",
        "Do not use the trace's price; convert the calls' prices one by one.",
        level=Level.TRACE,
    ),
    # ── of a stretch of time: requests without a call ─────────────────────────────────────────────────────────
    "foreign_traffic": Words(
        "Foreign traffic",
        "Requests under the same key that nothing in Dify explains: somebody else uses the key.",
        "The vendor billed {billed} for {requests} request(s) under this key that nothing in Dify explains.",
        "Give Dify a key of its own, so that its bill can be told from others'.",
        level=Level.WINDOW,
    ),
}  # fmt: skip
"""Every finding by its code."""

ESTIMATE_RULES: dict[str, str] = {
    "gpt2_first_message": "GPT-2 tokens of the first message and of the answer",
    "gpt2_all_messages": "GPT-2 tokens of all messages, 3 more for each, and of the answer",
    "five_per_character": "5 per character of the first message and of the answer",
    "character_count": "the first message's characters taken as tokens, as from 100,000 characters on",
    "openai_messages": "tiktoken ({vocabulary}) with a fixed overhead for each message, the answer counted as one too",
    "openai_joined": "tiktoken ({vocabulary}) of the joined messages with a fixed overhead",
    "unknown": "a count of its own that no known rule gives",
}
"""How a plugin estimated, by the name of the rule; `{vocabulary}` is the tokenizer it used."""
