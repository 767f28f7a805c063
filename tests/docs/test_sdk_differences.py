"""docs/sdk-differences.md is what the installed SDKs and our projectors write; no difference is without a reason."""

from __future__ import annotations

import re

import pytest

from docs.sdk import scenario
from docs.sdk.differences import PAGE, Fields, Row, generated, our_fields, rows, sdk_fields
from docs.sdk.reasons import platforms
from docs.sdk.terms import Difference, Platform

PLATFORMS = tuple(platforms())
TEXT = PAGE.read_text("utf-8")


def compared(platform: Platform) -> list[Row]:
    return rows(platform, sdk_fields(platform), our_fields(platform))


def unversioned(page: str) -> str:
    """Which version wrote the same is no difference."""
    return re.sub(r"^Made with .*$", "", page, flags=re.MULTILINE)


def test_the_tables_are_those_of_the_installed_sdks() -> None:
    """`make docs` writes them."""
    assert unversioned(generated(TEXT)) == unversioned(TEXT)


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_difference_has_a_reason(name: str) -> None:
    silent = [
        (row.field, str(row.difference), row.cases)
        for row in compared(platforms()[name])
        if row.difference is not Difference.NONE and row.reason is None
    ]
    assert silent == []


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_reason_still_explains_something(name: str) -> None:
    used = {id(row.reason) for row in compared(platforms()[name])}
    assert [reason.fields for reason in platforms()[name].reasons if id(reason) not in used] == []


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_counts_of_a_chat_with_cached_and_reasoning_tokens_are_the_same_on_both_sides(name: str) -> None:
    platform, usage = platforms()[name], scenario.USAGE
    for fields in (sdk_fields(platform)["chat"], our_fields(platform)["chat"]):
        assert _counts(fields) == (usage["input"], usage["output"], usage["cached"], usage["reasoning"])


def _counts(fields: Fields) -> tuple[int, int, int, int]:
    """Input, output, cached and reasoning tokens under whatever names a side writes them."""
    split = fields.get("langfuse.observation.usage_details")
    if split and "total_tokens" not in split:
        cached, reasoning = split["input_cached_tokens"], split["output_reasoning_tokens"]
        return split["input"] + cached, split["output"] + reasoning, cached, reasoning
    if split:
        return (
            split["prompt_tokens"],
            split["completion_tokens"],
            split["prompt_tokens_details"]["cached_tokens"],
            split["completion_tokens_details"]["reasoning_tokens"],
        )
    at = ("langsmith.usage_metadata", "langsmith.metadata.usage_metadata", "extra.metadata.usage_metadata")
    usage = next((fields[name] for name in at if name in fields), None)
    if usage:
        inside = usage["input_token_details"]["cache_read"], usage["output_token_details"]["reasoning"]
        return usage["input_tokens"], usage["output_tokens"], *inside
    names = ("prompt", "completion", "prompt_details.cache_read", "completion_details.reasoning")
    found = tuple(fields[f"llm.token_count.{name}"] for name in names)
    return found[0], found[1], found[2], found[3]


def test_a_field_that_an_sdk_begins_to_write_shows_up_without_a_reason() -> None:
    platform = platforms()["openinference"]
    theirs = sdk_fields(platform)
    theirs["chat"]["llm.brand_new"] = 1
    (new,) = (row for row in rows(platform, theirs, our_fields(platform)) if row.field == "llm.brand_new")
    assert (new.difference, new.cases, new.reason) == (Difference.THEIRS, ["chat"], None)


def test_a_value_that_only_changes_its_type_is_a_difference() -> None:
    platform = platforms()["openinference"]
    theirs = sdk_fields(platform)
    theirs["chat"]["llm.token_count.prompt"] = str(theirs["chat"]["llm.token_count.prompt"])
    found = rows(platform, theirs, our_fields(platform))
    changed = [row for row in found if row.field == "llm.token_count.prompt" and row.reason is None]
    assert [(row.difference, row.cases) for row in changed if row.difference is not Difference.NONE] == [
        (Difference.VALUE, ["chat"])
    ]
