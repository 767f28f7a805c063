"""Prompts of the open vocabularies against their own chat templates, rendered and counted by other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.local import chat, tools
from exporter.local.reading import TOOL_ERROR_PCT
from exporter.local.vocabulary import count
from exporter.model import PromptMessage, ToolCall

DATA = Path(__file__).parents[1] / "data" / "tokenizers" / "formats"

FORMATS = {
    "qwen2_5": ("qwen", chat.QWEN_2_5),
    "qwen3": ("qwen", chat.QWEN_3),
    "llama3_1": ("llama3", chat.LLAMA_3),
    "deepseek_v3": ("deepseek_v3", chat.DEEPSEEK),
    "gemma3": ("gemma3", chat.GEMMA),
    "mistral_nemo": ("mistral_tekken", chat.MISTRAL),
    "mistral_v3_tekken": ("mistral_tekken", chat.MISTRAL),
    "mistral_v1": ("mistral_v1", chat.MISTRAL_V1),
    "mistral_v3": ("mistral_v2", chat.MISTRAL),
    "mistral_v7": ("mistral_v2", chat.MISTRAL_V7),
}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


def messages_of(row: dict[str, Any]) -> tuple[PromptMessage, ...]:
    return tuple(
        PromptMessage(
            item["role"],
            item["content"],
            tuple(
                ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
                for call in item.get("tool_calls", ())
            ),
        )
        for item in row["messages"]
    )


def counted(row: dict[str, Any]) -> int:
    vocabulary, template = FORMATS[row["family"]]
    messages, added = messages_of(row), 0
    defined = [
        tools.Tool(item["function"]["name"], text=json.dumps(item, ensure_ascii=False))
        for item in row.get("tools") or ()
    ]
    if defined and template.tools is tools.ToolFormat.QWEN:
        messages = tools.with_qwen_tools(messages, defined, template.default_system)
        added = tools.QWEN_EXAMPLE
    elif defined:
        added = tools.count_mistral(vocabulary, defined).tokens
    return chat.count_prompt(vocabulary, template, messages).tokens + added


@pytest.mark.parametrize("family", FORMATS)
def test_every_conversation_costs_what_the_families_own_template_costs(family: str) -> None:
    found = {
        row["conversation"]: counted(row) for row in rows("chat_templates.jsonl") if row["family"] == family
    }
    truth = {
        row["conversation"]: row["prompt_tokens"]
        for row in rows("chat_templates.jsonl")
        if row["family"] == family
    }
    assert found == truth
    assert len(truth) == 9


def with_results(row: dict[str, Any]) -> bool:
    return any(item["role"] == "tool" for item in row["messages"])


def test_odd_texts_old_thoughts_and_function_definitions_cost_what_the_template_costs() -> None:
    checked = [row for row in rows("tool_templates.jsonl") if not with_results(row)]
    for row in checked:
        assert (row["family"], row["conversation"], counted(row)) == (
            row["family"],
            row["conversation"],
            row["prompt_tokens"],
        )
    assert sum(1 for row in checked if row["tools"]) == 18
    assert {row["family"] for row in checked} >= {
        "qwen2_5",
        "qwen3",
        "llama3_1",
        "deepseek_v3",
        "gemma3",
        "mistral_nemo",
    }


def test_function_calls_and_results_are_within_the_error_that_is_stated_for_them() -> None:
    checked = [row for row in rows("tool_templates.jsonl") if with_results(row)]
    for row in checked:
        assert counted(row) == pytest.approx(row["prompt_tokens"], rel=TOOL_ERROR_PCT / 100)
    exact = [row for row in checked if row["family"] == "qwen3"]
    assert [counted(row) for row in exact] == [row["prompt_tokens"] for row in exact]
    assert len(checked) >= 20


def test_qwen_2_5_inserts_a_system_text_of_its_own_and_qwen_3_does_not() -> None:
    user = (PromptMessage("user", "Hello"),)
    own = (
        PromptMessage("system", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        *user,
    )
    assert chat.count_prompt("qwen", chat.QWEN_2_5, user) == chat.count_prompt("qwen", chat.QWEN_2_5, own)
    assert chat.count_prompt("qwen", chat.QWEN_3, user).tokens == 9


@pytest.mark.parametrize(
    ("system", "user", "tokens"),
    [
        ("You are a helpful assistant.", "你是谁？", 22),  # qwen-plus, Alibaba Cloud's API reference
        (
            "你是一个乐于解答各种问题的助手，你的任务是为用户提供专业、准确、有见地的建议。",
            "你好，请介绍一下自己",
            42,  # qwen-max, the documentation of a reseller (mixrouter)
        ),
    ],
)
def test_hosted_qwen_costs_what_published_responses_say(system: str, user: str, tokens: int) -> None:
    messages = (PromptMessage("system", system), PromptMessage("user", user))
    assert chat.count_prompt("qwen", chat.QWEN_3, messages).tokens == tokens


def test_metas_full_template_dates_the_prompt_with_25_tokens() -> None:
    user = (PromptMessage("user", "Hello"),)
    both = (PromptMessage("system", "Be brief."), *user)
    plain, dated = (
        [chat.count_prompt("llama3", template, messages).tokens for messages in (user, both)]
        for template in (chat.LLAMA_3, chat.LLAMA_3_DATED)
    )
    assert [after - before for before, after in zip(plain, dated, strict=True)] == [25, 20]


def test_llama_2_spells_its_marks_around_the_users_words() -> None:
    messages = (PromptMessage("system", "Be brief."), PromptMessage("user", "Hello"))
    spelled = "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHello [/INST]"
    assert chat.count_prompt("llama2", chat.LLAMA_2, messages).tokens == 1 + count("llama2", spelled).tokens


def test_gpt_oss_gets_a_hidden_system_message_and_the_system_text_as_instructions() -> None:
    hidden = (
        "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n"
        "Current date: 2025-06-28\n\nReasoning: medium\n\n"
        "# Valid channels: analysis, commentary, final. Channel must be included for every message."
    )
    messages = (PromptMessage("system", "Be brief."), PromptMessage("user", "Hello"))
    marks = 4 + 2 + 4 + 4  # hidden message, opened reply, instructions, question
    texts = sum(
        count("o200k_base", text).tokens for text in (hidden, "# Instructions\n\nBe brief.\n\n", "Hello")
    )
    assert chat.count_prompt("o200k_base", chat.HARMONY, messages).tokens == marks + texts


def test_a_system_text_without_any_user_stays_a_message() -> None:
    messages = (PromptMessage("system", "Be brief."), PromptMessage("assistant", "Yes"))
    for template in (chat.GEMMA, chat.MISTRAL, chat.LLAMA_2):
        assert (
            chat.count_prompt("gemma3", template, messages).tokens >= count("gemma3", "Be brief.Yes").tokens
        )
        assert chat.count_prompt("gemma3", template, ()).tokens == template.per_prompt
