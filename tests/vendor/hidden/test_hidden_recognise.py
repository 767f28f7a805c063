"""Dify's own requests are known by their words and their shape; nothing that an end user may write is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.vendor.hidden.recognise import recognise
from exporter.vendor.hidden.words import answer_hash, query_hash, title_hash, titled
from tests.vendor.hidden.hidden_by_hand import (
    OLD_TITLE,
    OWN_SUGGEST,
    SUGGEST,
    TITLE,
    embedding,
    message,
    request,
)

DATASET = "0f6a1c2e-8a41-4d55-9c1b-5d2f9f6a1b{:02d}"
FILTER = (
    "\n    ### Job Description',\n    You are a text metadata extract engine that extract text's metadata based on user"
    " input and set the metadata value\n    ### Task\n    …"
)
FILTER_OF_COMPLETIONS = (
    "\n### Job Description\nYou are a text metadata extract engine that extract text's metadata based on user input and"
    ' set the metadata value\n### Task\n…\nUser:{"input_text": "What are the movies with a score of more than 9?",'
    ' "metadata_fields": ["name"]}\n### User Input\n{"input_text" : "books by Ann", "metadata_fields" : ["author"]}\n'
    "### Assistant Output\n"
)
ROUTER = "Respond to the human as helpfully and accurately as possible. You have access to the following tools:\n\n"
SCHEMA = (
    "\nYour task is to convert simple user descriptions into properly formatted JSON Schema definitions. When a user"
    " describes data fields they need, generate a complete, valid JSON Schema …"
)
EDITOR = (
    "\nBoth your input and output should be in JSON format.\n\n! Below is the schema for input content !\n{ … "
    '"ideal_output": … }'
)
QUESTIONS = (
    "<Task> The user will send a long text. Generate a Question and Answer pairs only using the knowledge in the long"
    " text. Please think step by step.Step 1: …"
)
RESEARCHER = (
    "You are a professional language researcher, you are interested in the language\nand you can quickly aimed at the"
    " main point of an webpage and reproduce it in your own words but \nretain …"
)
SUMMARY = (
    "Summarize the following content. Extract only the key information and main points. Remove …\nThe text."
)
WRITE = "\nHere is a task description for which I would like you to create a high-quality prompt template for:\n<task_description>\nSell.\n…"
VARIABLES = (
    "\nI need to extract the following information from the input text. The <information to be extracted> tag specifies"
    " the 'type', 'description' and 'required' of the information to be extracted.\n<information to be extracted>\n"
    "variables name bounded two double curly brackets. …"
)
OPENER = "\n<instruction>\nStep 1: Identify the purpose of the chatbot from the variable {{TASK_DESCRIPTION}} and infer …"
CODE = "You are an expert programmer. Generate code based on the following instructions:\n\nInstructions: add two numbers\n\n…"
FIELDS = '\n    \'{"input_text": "warranty of 2024",\',\n    \'"metadata_fields": ["year"]}\'\n'


@pytest.mark.parametrize(
    ("purpose", "prompt"),
    [
        ("title", [TITLE + "hi\n"]),
        ("title", [OLD_TITLE + "hi\n"]),
        ("suggested_questions", ["Human: hi\nAssistant: Hello!" + SUGGEST]),
        ("suggested_questions", ["Human: hi\nAssistant: Hello!" + OWN_SUGGEST]),
        ("prompt_generator", [WRITE]),
        ("prompt_generator", [VARIABLES]),
        ("prompt_generator", [OPENER]),
        ("code_generator", [CODE]),
        ("schema_generator", [message(SCHEMA, "system"), "name and age"]),
        ("instruction_editor", [message(EDITOR, "system"), '{"current": "x"}']),
        ("question_answer_segments", [message(QUESTIONS, "system"), "A long text."]),
        ("segment_summary", [SUMMARY]),
        ("metadata_filter", [message(FILTER, "system"), "e.g.", message("{}", "assistant"), FIELDS]),
        ("metadata_filter", [FILTER_OF_COMPLETIONS]),
        ("tool_summary", [message(RESEARCHER, "system"), "A page."]),
        (
            "knowledge_router",
            [
                message(
                    ROUTER
                    + "a: b, args: {'query': {'title': 'Query', 'description': 'Query for the dataset to be used"
                    " to retrieve the dataset.', 'type': 'string'}}\n\nUse a json blob …",
                    "system",
                ),
                "How long?",
            ],
        ),
    ],
)
def test_every_request_of_dify_s_own_is_recognised(purpose: str, prompt: list[Any]) -> None:
    assert request("r", *prompt).purpose == purpose


def test_choosing_a_dataset_by_a_function_call_is_known_by_the_datasets_ids() -> None:
    tools = [{"type": "function", "function": {"name": DATASET.format(n), "parameters": {}}} for n in (1, 2)]
    prompt = (message("You are a helpful AI assistant.", "system"), "How long is the warranty?")
    found = request("r", *prompt, body={"tools": tools})
    assert (found.purpose, found.about) == ("knowledge_router", (query_hash("How long is the warranty?"),))
    weather = [{"type": "function", "function": {"name": name}} for name in ("weather", "time")]
    assert request("r", *prompt, body={"tools": weather}).purpose is None
    assert request("r", *prompt).purpose is None


@pytest.mark.parametrize(
    "prompt",
    [
        ["ping"],
        ["You are an expert programmer. Please add two numbers."],
        ["Please help me predict the three most likely questions that human would ask"],
        [message("You help with chat titles.", "system"), TITLE + "hi\n"],
        ["Hello", message("Hi!", "assistant"), TITLE + "hi\n"],
        [message("Both your input and output should be in JSON format.", "system"), "{}"],
        [message("You are a helpful AI assistant.", "system"), "How long is the warranty?"],
        ["Human: hi\nAssistant: Hello!\nWhat would you ask? questions:"],
        ["Tell me what this does: " + CODE],
        [
            message(
                "Respond to the human as helpfully and accurately as possible.\n\nBe kind.\n\nYou have access to the"
                " following tools:\n\n[]",
                "system",
            ),
            "What time is it?",
        ],
    ],
)
def test_what_an_end_user_or_an_operator_writes_is_not_hidden(prompt: list[Any]) -> None:
    assert request("r", *prompt).purpose is None


def test_a_title_is_about_the_query_and_the_name_that_was_found() -> None:
    answer = '```json\n{"Language Type": "English", "Your Reasoning": "…", "Your Output": " Warranty question "}\n```'
    found = request("r", TITLE + "How long is the warranty?\n", response_text=answer)
    assert found.about == (query_hash("How long is the warranty?"), title_hash("Warranty question"))
    long_name = "x" * 76
    cut = request("r", TITLE + "hi\n", response_text=f'{{"Your Output": "{long_name}"}}')
    assert cut.about[1] == title_hash("x" * 75 + "...")
    assert request("r", TITLE + "hi\n", response_text="no object").about == (query_hash("hi"),)


def test_a_title_s_prompt_that_a_gateway_cut_is_a_title_about_nothing() -> None:
    found = request("r", TITLE[:150] + "…")
    assert (found.purpose, found.about) == ("title", ())


def test_the_old_wording_s_examples_are_not_taken_for_the_query() -> None:
    assert request("r", OLD_TITLE + "hello again\n").about == (query_hash("hello again"),)


def test_a_long_query_of_several_lines_is_compared_in_the_form_that_dify_gives_it() -> None:
    query = "first line\n" + "word " * 600 + "\nlast line"
    prompt = TITLE + (query[:300] + "...[TRUNCATED]..." + query[-300:]).replace("\n", " ") + "\n"
    assert request("r", prompt).about == (query_hash(titled(query)),)
    assert titled("a\nb") == "a b"


def test_where_only_answers_are_logged_a_title_is_known_by_the_object_that_dify_demands() -> None:
    answer = '{"Language Type": "English", "Your Reasoning": "…", "Your Output": "Warranty"}'
    assert recognise("chat", None, None, answer).about == (title_hash("Warranty"),)
    assert recognise("chat", None, None, '{"Your Output": "Warranty"}').purpose is None


def test_suggestions_are_about_the_last_words_of_both_sides() -> None:
    history = (
        "Human: hi\nAssistant: Hello!\nHuman: And\nthe battery?\n[image]\nAssistant: Two years.\nPromised."
    )
    found = request("r", history + SUGGEST)
    assert found.about == (query_hash("And\nthe battery?"), answer_hash("Two years.\nPromised."))


def test_behind_an_instruction_of_the_operator_s_own_only_the_question_is_known() -> None:
    assert request("r", "Human: hi\nAssistant: Hello!" + OWN_SUGGEST).about == (query_hash("hi"),)


def test_a_filter_is_about_the_query_between_its_quotes() -> None:
    chat = request("r", message(FILTER, "system"), "e.g.", message("{}", "assistant"), FIELDS)
    assert chat.about == (query_hash("warranty of 2024"),)
    assert request("r", FILTER_OF_COMPLETIONS).about == (query_hash("books by Ann"),)


def test_an_embedding_is_about_each_of_its_texts() -> None:
    found = embedding("e", "How long?", "How much?")
    assert (found.purpose, found.about) == ("embedding", (query_hash("How long?"), query_hash("How much?")))


def test_token_ids_are_the_text_they_stand_for() -> None:
    """`How long is the warranty?` in cl100k_base, as the recorded openai plugin sent it."""
    ids = [4438, 1317, 374, 279, 8642, 30]
    for given in ([ids], ids):
        found = request("r", body={"input": given}, operation="embeddings")
        assert found.about == (query_hash("How long is the warranty?"),)
    strange = request("r", body={"input": [[4438, 999_999_999, -1]]}, operation="embeddings")
    assert (strange.purpose, strange.about) == ("embedding", ())


@pytest.mark.parametrize(
    "body",
    [
        {"query": "How long?", "documents": ["a", {"text": "b"}]},
        {"input": {"query": "How long?", "documents": ["a"]}},
    ],
)
def test_a_rerank_is_about_its_query(body: dict[str, Any]) -> None:
    found = request("r", body=body, operation="rerank", usage={"total_tokens": 9})
    assert (found.purpose, found.about) == ("rerank", (query_hash("How long?"),))


@pytest.mark.parametrize(
    "body",
    [
        {"input": "How long?"},
        {"input": {"texts": ["How long?"]}},
        {"texts": ["How long?"]},
        {"inputText": "How long?"},
        {"content": {"parts": [{"text": "How long?"}]}},
        {"requests": [{"content": {"parts": [{"text": "How long?"}]}}]},
    ],
)
def test_every_vendor_s_form_of_an_embedding_shows_its_text(body: dict[str, Any]) -> None:
    assert request("r", body=body, operation="embeddings").about == (query_hash("How long?"),)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": None},
        {"input": [None, 1.5, [], {}]},
        {"documents": []},
        {"requests": [1]},
        {"content": 1},
    ],
)
def test_a_body_that_nobody_understands_is_an_embedding_about_nothing(body: dict[str, Any]) -> None:
    found = request("r", body={**body, "x": 1}, operation="embeddings")
    assert (found.purpose, found.about) == ("embedding", ())
