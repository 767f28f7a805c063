"""Why we write something else than a platform's SDK, one sentence for each difference; the tables of `differences` quote them.

A reason holds for the fields that its pattern names, on the cases that it names or on all. The first that fits counts.
"""

from __future__ import annotations

from docs.sdk.reasons_langsmith import LANGSMITH, LANGSMITH_RUNS
from docs.sdk.terms import (
    ANSWER,
    AS_DIFY,
    ERROR,
    KIND,
    MESSAGES,
    NAME,
    NO_AUDIO,
    NO_EMBEDDED,
    NO_EXCEPTION,
    NO_SCHEMA,
    OWN,
    ROOT_TAGS,
    VERDICT,
    Difference,
    Platform,
    Reason,
)

LANGFUSE = Platform(
    "langfuse",
    "langfuse",
    ("with_langfuse",),
    ("langfuse", "openai"),
    {
        "session.id": "langfuse.session.id",
        "user.id": "langfuse.user.id",
        "span.status.message": "langfuse.observation.status_message",
    },
    (
        Reason("session.id", Difference.NAME, "Langfuse reads both and takes its own name first."),
        Reason("user.id", Difference.NAME, "Langfuse reads both and takes its own name first."),
        Reason("span.status.message", Difference.VALUE, ERROR),
        Reason("langfuse.observation.input", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason("langfuse.observation.input", Difference.VALUE, NO_SCHEMA, ("tool request",)),
        Reason("langfuse.observation.input", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("langfuse.observation.output", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason(
            "langfuse.observation.output",
            Difference.VALUE,
            "It is one message with role and text for every answer, streamed or not.",
            ("tool request", "streamed"),
        ),
        Reason("langfuse.observation.output", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason(
            "langfuse.observation.model.parameters",
            Difference.VALUE,
            "Only parameters that the app set; the SDK adds defaults of OpenAI's.",
        ),
        Reason(
            "langfuse.observation.model.parameters",
            Difference.THEIRS,
            "An embedding has no parameters.",
            ("embedding",),
        ),
        Reason("langfuse.observation.status_message", Difference.VALUE, ERROR),
        Reason(
            "langfuse.observation.usage_details",
            Difference.VALUE,
            "Langfuse splits OpenAI's object only when it is alone; ours is split already, so that the three readings"
            " can stand beside it and the shown input, output and total stay the same.",
        ),
        Reason(
            "langfuse.observation.model.name",
            Difference.THEIRS,
            "With a model and no usage Langfuse counts by itself; the SDK stops it with a cost of 0, which nobody"
            " knows, and we name the model in the metadata.",
            ("error",),
        ),
        Reason(
            "langfuse.observation.cost_details",
            Difference.THEIRS,
            "The cost of a failed call is unknown, not 0.",
            ("error",),
        ),
        Reason(
            "langfuse.observation.metadata.finish_reason",
            Difference.THEIRS,
            "It is in the metadata object of every call, streamed or not.",
        ),
        Reason(
            "langfuse.internal.is_app_root",
            Difference.THEIRS,
            "It marks a root that has a parent elsewhere; ours has none.",
        ),
        Reason("langfuse.trace.tags", Difference.VALUE, VERDICT),
        Reason("span.kind", Difference.VALUE, KIND),
        Reason("span.name", Difference.VALUE, NAME),
        Reason(
            "langfuse.observation.metadata",
            Difference.OURS,
            "The three readings and the findings in words, on the span's page.",
        ),
        Reason(
            "gen_ai.*", Difference.OURS, "Operation and provider, which Langfuse's attributes do not name."
        ),
        Reason("dify*", Difference.OURS, OWN),
    ),
)

OPENINFERENCE = Platform(
    "openinference",
    "openinference",
    ("with_openinference",),
    ("openinference-instrumentation", "openinference-instrumentation-openai", "openai"),
    {},
    (
        Reason("input.*", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("output.*", Difference.THEIRS, NO_EMBEDDED, ("embedding",)),
        Reason("embedding.*", Difference.THEIRS, NO_EMBEDDED),
        Reason("input.*", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason("output.value", Difference.VALUE, AS_DIFY, ("retrieval",)),
        Reason("input.value", Difference.VALUE, MESSAGES),
        Reason("output.value", Difference.VALUE, ANSWER),
        Reason(
            "llm.invocation_parameters",
            Difference.VALUE,
            "The model has an attribute of its own, and whether the answer was streamed is no parameter.",
        ),
        Reason("llm.token_count.*.audio", Difference.THEIRS, NO_AUDIO),
        Reason("llm.tools.*", Difference.THEIRS, NO_SCHEMA),
        Reason("tool.parameters", Difference.THEIRS, NO_SCHEMA),
        Reason("tag.tags", Difference.VALUE, VERDICT),
        Reason("tag.tags", Difference.THEIRS, ROOT_TAGS),
        Reason("event exception: exception.message", Difference.VALUE, ERROR),
        Reason("event exception: *", Difference.THEIRS, NO_EXCEPTION),
        Reason("span.status.message", Difference.VALUE, ERROR),
        Reason(
            "span.status",
            Difference.VALUE,
            "Every span that went well says so; the SDK leaves spans made by hand to their maker.",
        ),
        Reason("span.kind", Difference.VALUE, KIND),
        Reason("span.name", Difference.VALUE, NAME),
        Reason(
            "agent.name", Difference.OURS, "The conventions name the agent; the SDK leaves it to the user."
        ),
        Reason(
            "gen_ai.response.time_to_first_chunk", Difference.OURS, "The seconds that the event stands for."
        ),
        Reason("llm.model_name", Difference.OURS, "The model is known also where there is no response."),
        Reason(
            "llm.provider",
            Difference.OURS,
            "The conventions name who serves the model; the SDK knows it only from some addresses.",
        ),
        Reason("llm.token_count.completion", Difference.OURS, "The vendor said 0.", ("embedding",)),
        Reason("metadata", Difference.OURS, "The three readings and the findings in words."),
        Reason("dify*", Difference.OURS, OWN),
    ),
)


def platforms() -> dict[str, Platform]:
    """The SDKs that are compared, by name."""
    return {platform.name: platform for platform in (LANGFUSE, LANGSMITH, LANGSMITH_RUNS, OPENINFERENCE)}
