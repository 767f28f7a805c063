"""Why we write something else than LangSmith's SDK, over OTLP and in its own format; see `reasons`."""

from __future__ import annotations

from docs.sdk.terms import (
    ANSWER,
    AS_DIFY,
    ERROR,
    FIRST_SEND,
    KIND,
    MESSAGES,
    NAME,
    NO_ANSWER,
    NO_AUDIO,
    NO_EMBEDDED,
    NO_EXCEPTION,
    NO_OTHERS,
    OWN,
    PROGRAM,
    ROOT_TAGS,
    USAGE_OF_CHAT,
    VERDICT,
    Difference,
    Platform,
    Reason,
)

LANGSMITH = Platform(
    "langsmith",
    "langsmith",
    ("with_langsmith", "otel"),
    ("langsmith", "openai"),
    {
        "langsmith.metadata.usage_metadata": "langsmith.usage_metadata",
        "gen_ai.system": "gen_ai.provider.name",
        "langsmith.trace.name": "span.name",
    },
    (
        Reason(
            "langsmith.metadata.usage_metadata",
            Difference.VALUE,
            "The name that LangSmith reads in place of all single counts; without audio tokens, which Dify and most"
            " evidence do not tell apart.",
        ),
        Reason("gen_ai.system", Difference.NAME, "The name since version 1.37 of the conventions."),
        Reason("gen_ai.system", Difference.VALUE, "The SDK was not told the vendor.", ("embedding",)),
        Reason("gen_ai.system", Difference.THEIRS, "The spans without a model have no provider."),
        Reason("langsmith.trace.name", Difference.NAME, "Without it LangSmith takes the span's name."),
        Reason("langsmith.trace.name", Difference.VALUE, NAME),
        Reason(
            "gen_ai.usage.*",
            Difference.THEIRS,
            "They are in `langsmith.usage_metadata`, which replaces them.",
        ),
        Reason("gen_ai.completion", Difference.THEIRS, NO_ANSWER, ("error",)),
        Reason("gen_ai.completion", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("gen_ai.prompt", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("gen_ai.completion", Difference.VALUE, ANSWER),
        Reason("gen_ai.prompt", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason("gen_ai.prompt", Difference.VALUE, MESSAGES),
        Reason(
            "gen_ai.operation.name",
            Difference.VALUE,
            "The conventions' own names; LangSmith takes the run type from `langsmith.span.kind`.",
        ),
        Reason(
            "gen_ai.response.*", Difference.THEIRS, "Dify does not keep the id and the model of the response."
        ),
        Reason(
            "gen_ai.serialized.name", Difference.THEIRS, "The class of the client; Dify has none to tell."
        ),
        Reason(
            "langsmith.metadata.ls_invocation_params",
            Difference.THEIRS,
            "Parameters without a standard name go out as `llm.invocation_parameters`; here are none.",
        ),
        Reason("langsmith.metadata.ls_method", Difference.THEIRS, "It names the SDK's function."),
        Reason(
            "langsmith.metadata.revision_id", Difference.THEIRS, "It is the commit of the traced program."
        ),
        Reason(
            "langsmith.request.streaming",
            Difference.THEIRS,
            "`gen_ai.response.time_to_first_chunk` says it with the time.",
        ),
        Reason("langsmith.span.tags", Difference.VALUE, VERDICT),
        Reason("langsmith.span.tags", Difference.THEIRS, ROOT_TAGS),
        Reason("event exception: exception.message", Difference.VALUE, ERROR),
        Reason("event exception: *", Difference.THEIRS, NO_EXCEPTION),
        Reason(
            "span.status",
            Difference.VALUE,
            "LangSmith tells success from the absence of an error.",
        ),
        Reason("span.kind", Difference.VALUE, KIND),
        Reason("span.name", Difference.VALUE, NAME),
        Reason(
            "langsmith.*id",
            Difference.OURS,
            "Explicit ids that a resend repeats; the SDK's exporter makes random ones.",
        ),
        Reason(
            "langsmith.span.dotted_order",
            Difference.OURS,
            "Explicit ids need the place in the tree.",
        ),
        Reason("langsmith.root_span", Difference.OURS, "It says that no parent will follow."),
        Reason(
            "langsmith.usage_metadata", Difference.OURS, "The SDK writes it for chat only.", ("embedding",)
        ),
        Reason("gen_ai.request.*", Difference.OURS, "LangSmith shows them as the call's parameters."),
        Reason("gen_ai.response.time_to_first_chunk", Difference.OURS, "The SDK's exporter loses it."),
        Reason("error.type", Difference.OURS, "The conventions ask for it."),
        Reason("span.status.message", Difference.OURS, "The same text as the event's."),
        Reason("langsmith.metadata.dify*", Difference.OURS, OWN),
    ),
)

LANGSMITH_RUNS = Platform(
    "langsmith_runs",
    "langsmith",
    ("with_langsmith", "langsmith"),
    ("langsmith", "openai"),
    {},
    (
        Reason("name", Difference.THEIRS, FIRST_SEND),
        Reason("run_type", Difference.THEIRS, FIRST_SEND),
        Reason("start_time", Difference.THEIRS, FIRST_SEND),
        Reason(
            "events",
            Difference.THEIRS,
            "When the first token came is no news of a correction, and over OTLP LangSmith documents no place for it.",
        ),
        Reason("inputs", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("outputs", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("outputs", Difference.THEIRS, NO_ANSWER, ("error",)),
        Reason("inputs", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason("inputs", Difference.VALUE, MESSAGES),
        Reason("outputs", Difference.VALUE, ANSWER),
        Reason("extra.metadata.usage_metadata", Difference.VALUE, NO_AUDIO),
        Reason("extra.metadata.usage_metadata", Difference.OURS, USAGE_OF_CHAT, ("embedding",)),
        Reason("extra.metadata.ls_invocation_params", Difference.THEIRS, NO_OTHERS),
        Reason("extra.metadata.ls_method", Difference.THEIRS, PROGRAM),
        Reason("extra.metadata.revision_id", Difference.THEIRS, PROGRAM),
        Reason("extra.runtime", Difference.THEIRS, PROGRAM),
        Reason("serialized", Difference.THEIRS, PROGRAM),
        Reason(
            "extra.invocation_params",
            Difference.OURS,
            "Where LangSmith keeps them of what comes over OTLP; the SDK leaves them among the inputs.",
        ),
        Reason("tags", Difference.VALUE, VERDICT),
        Reason("tags", Difference.THEIRS, ROOT_TAGS),
        Reason("error", Difference.VALUE, ERROR),
        Reason("extra.metadata.dify*", Difference.OURS, OWN),
    ),
)
