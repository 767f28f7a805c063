"""What redaction finds, what it leaves, and that no text makes it fail, grow, or break JSON."""

from __future__ import annotations

import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.spans.expressions import LONGEST_MATCH_CHARS, WINDOW_CHARS, problem, replaced
from exporter.spans.personal import is_bank_card, is_id_card
from exporter.spans.redaction import BUILTIN, redaction
from exporter.spans.structured import is_structured
from tests.spans.secret_examples import LOOK_ALIKES, SECRETS

redact = redaction(BUILTIN, [])
MARKS = ("[email]", "[phone]", "[id card]", "[bank card]", "[key]")
LONGEST_GROWTH = 12  # a single digit in JSON, found by an own expression, becomes "[redacted]" in quotes


# ── examples ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("text", "secret", "mark"), SECRETS)
def test_a_secret_is_replaced_by_what_it_was(text: str, secret: str, mark: str) -> None:
    assert secret in text
    found = redact(text)
    assert secret not in found
    assert mark in found


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_what_stands_around_a_secret_stays() -> None:
    found = redact("请把发票寄到 li@example.com，电话13800138000，身份证11010519491231002X。")
    assert found == "请把发票寄到 [email]，电话[phone]，身份证[id card]。"


@pytest.mark.parametrize(("text", "secret", "mark"), SECRETS)
def test_only_the_kinds_that_were_asked_for_are_replaced(text: str, secret: str, mark: str) -> None:
    kind = {"[id card]": "id_card", "[bank card]": "bank_card", "[key]": "keys"}.get(mark, mark[1:-1])
    assert mark in redaction([kind], [])(text)
    others = redaction(BUILTIN.keys() - {kind}, [])(text)
    assert mark not in others
    assert redaction([], [])(text) == text


# ── check digits ────────────────────────────────────────────────────────────────────────────────────────────


def id_check_character(first_17: str) -> str:
    """The table of GB 11643-1999: weights, and the check character by the sum modulo 11."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(first_17, weights, strict=True)) % 11]


def luhn_check_digit(payload: str) -> str:
    """Luhn's check digit from the payload, by the table of doubled digits of US patent 2950048."""
    doubled = "0246813579"
    total = sum(
        int(doubled[int(digit)]) if place % 2 == 0 else int(digit)
        for place, digit in enumerate(reversed(payload))
    )
    return str(-total % 10)


@given(
    st.sampled_from(["110105", "440524", "310101", "510107", "652901"]),
    st.dates(),
    st.integers(0, 999),
    st.sampled_from("0123456789X"),
)
def test_of_eleven_check_characters_one_makes_an_id_card(
    region: str, born: object, serial: int, last: str
) -> None:
    first = f"{region}{str(born).replace('-', '')}{serial:03}"
    year = int(first[6:10])
    assert is_id_card(first + last) == (last == id_check_character(first) and 1800 <= year < 2100)


@given(st.from_regex(r"\A(?:4[0-9]{14}|5[1-5][0-9]{13}|62[0-9]{13,16})\Z"), st.sampled_from(string.digits))
def test_of_ten_check_digits_one_makes_a_bank_card(payload: str, last: str) -> None:
    issued = payload[0] != "4" or len(payload) == 15
    assert is_bank_card(payload + last) == (issued and last == luhn_check_digit(payload))


@pytest.mark.parametrize("number", ["11010519491231002X", "440524188001010014"])
def test_the_standards_own_examples_are_id_cards(number: str) -> None:
    assert id_check_character(number[:17]) == number[17]
    assert is_id_card(number)


# ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_json_stays_json_and_keeps_every_other_byte() -> None:
    text = '{ "to":\t"a\\nli@example.com", "tel": 13800138000, "n": 1.0e5, "big": 123456789012345678901, "k":[null] }'
    assert redact(text) == (
        '{ "to":\t"a\\n[email]", "tel": "[phone]", "n": 1.0e5, "big": 123456789012345678901, "k":[null] }'
    )


def test_secrets_behind_escapes_are_found() -> None:
    text = json.dumps({"a": "电话13800138000\nsk-1a2b3c4d5e6f7g8h\tli@example.com"})
    assert "\\u" in text
    assert json.loads(redact(text)) == {"a": "电话[phone]\n[key]\t[email]"}


def test_json_within_json_is_looked_into() -> None:
    inner = json.dumps({"mail": "x\nli@example.com"})
    found = json.loads(redact(json.dumps({"body": json.dumps({"text": inner})})))
    assert json.loads(json.loads(found["body"])["text"]) == {"mail": "x\n[email]"}


def test_a_value_whose_name_says_that_it_is_secret_is_one() -> None:
    found = json.loads(
        redact('{"password":"Tr0ub4dor&3","api_key":"q1w2e3r4t5y6","max_tokens":"12345678","key":"a"}')
    )
    assert found == {"password": "[key]", "api_key": "[key]", "max_tokens": "12345678", "key": "a"}


def test_names_in_json_are_redacted_too() -> None:
    assert redact('{"li@example.com":1}') == '{"[email]":1}'


@pytest.mark.parametrize(("text", "secret", "mark"), SECRETS)
def test_a_secret_in_json_is_found_and_the_json_holds(text: str, secret: str, mark: str) -> None:
    for ascii_only in (True, False):
        whole = json.dumps({"arg": {"list": [text, 7]}}, ensure_ascii=ascii_only)
        found = redact(whole)
        assert secret not in json.loads(found)["arg"]["list"][0]
        assert mark in found


# ── own expressions ─────────────────────────────────────────────────────────────────────────────────────────


def test_own_expressions_come_first_and_are_marked_as_redacted() -> None:
    own = redaction(BUILTIN, [r"ORD-\d{8}", r"(?i)project \w+"])
    assert own("ORD-12345678 of Project Falcon, li@example.com") == "[redacted] of [redacted], [email]"


def test_own_expressions_see_numbers_and_texts_of_json_by_themselves() -> None:
    own = redaction([], [r"^\d{8}$"])
    assert own('{"order": 12345678, "other": "12345678", "note": "x 12345678"}') == (
        '{"order": "[redacted]", "other": "[redacted]", "note": "x 12345678"}'
    )


def test_an_expression_that_can_match_nothing_leaves_no_marks_there() -> None:
    assert replaced(re.compile(r"(?=a)|b+"), "abab") == "a[redacted]a[redacted]"


@given(st.integers(0, 3 * WINDOW_CHARS), st.integers(1, LONGEST_MATCH_CHARS - 4))
def test_a_match_is_found_wherever_it_stands_in_a_long_text(place: int, length: int) -> None:
    text = "." * place + "<" + "x" * length + ">" + "." * (4 * WINDOW_CHARS - place)
    pattern = re.compile(r"<x+>")
    assert replaced(pattern, text) == pattern.sub("[redacted]", text)


@given(st.text("ab \n1", max_size=40), st.integers(1, 400))
def test_the_window_changes_nothing_for_short_matches(text: str, times: int) -> None:
    text = text * times
    for expression in (r"a+\b", r"(?<=b)1{1,30}", r"^a.{0,20}$", r"\s\s", r"b(?!1)"):
        pattern = re.compile(expression)
        assert replaced(pattern, text) == pattern.sub("[redacted]", text)


@pytest.mark.parametrize(
    "expression",
    [
        r"(a+)+$", r"(?:\w+\s?)*$", r"(a|aa)+$", r"(?i:(x*)*)y", r"((ab)?c?)+d", r"(?P<n>\d+)*x", r"(a{1,9}){30}b",
        r"([a-z]+)*\.", r"(?:(?:a|b)c)+d", r"\d+\d+x", r"\w+\s*\w+!", r".*foo.*bar", r"(\d*)(\d{2,})x",
        r"\d{1,200}[0-9]{1,200}x", r"中*[^a]+b", "(a+", "[", "x*", "", "(?:)",
    ],
)  # fmt: skip
def test_an_expression_that_could_take_for_ever_or_cannot_work_is_refused(expression: str) -> None:
    assert problem(expression)


@pytest.mark.parametrize(
    "expression",
    [
        r"(?i)\b(?:sk|pk|rk|app|ghp|xox[abp])-[A-Za-z0-9_-]{12,}",
        r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{12,}=*",
        r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
        r"(?<!\d)(?:\+?\d[\s-]?){11,15}(?!\d)",
        r"ORD-\d{8}", r"[(+*]+x", r"\(\+\)*y", r"(?:foo|bar)++", r"(?>a+|b)+c", r"(?:\d+,)*+z", r"(?:ab)+", r"a|b+",
        r"工号[:：]\s*\d+", r"(?:\d{3}-)+\d{4}", r"[]()]+x", r"EMP\s*[:=]\s*\w+", r"\d++\d+x", r".{0,100}foo.*", r"(?=.*\d)(?=.*[a-z])\w+",
        r"a+|a+", r"\w+-\w+-\w+", r"\x41+\u4e2d*", r"[{}]+", r"(?P<q>['\"]).{1,9}(?P=q)",
    ],
)  # fmt: skip
def test_ordinary_expressions_are_taken(expression: str) -> None:
    assert problem(expression) is None


# ── any text ────────────────────────────────────────────────────────────────────────────────────────────────

pieces = st.one_of(
    st.sampled_from([item for text, secret, _ in SECRETS for item in (text, secret)]),
    st.sampled_from(
        [*LOOK_ALIKES, *MARKS, "sk-", "eyJ", "+86", "@", "\\n", "\\u7535", '"', "{", "}", "[", ":", "="]
    ),
    st.text(max_size=8),
    st.text(string.digits + " -.+()", max_size=20),
)
texts = st.one_of(st.text(), st.lists(pieces, max_size=8).map("".join))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)


@given(texts)
def test_no_text_makes_it_fail_or_grow_without_bound_and_twice_is_once(text: str) -> None:
    once = redact(text)
    assert len(once) <= LONGEST_GROWTH * len(text)
    assert redact(once) == once


@given(texts)
def test_own_expressions_never_make_it_fail_or_grow_without_bound(text: str) -> None:
    own = redaction(BUILTIN, [r"\d", r"[a-z]{3,9}", r"ORD-\d+"])
    assert len(own(text)) <= LONGEST_GROWTH * LONGEST_GROWTH * max(1, len(text))


@given(values, st.booleans())
def test_json_stays_json_of_the_same_shape(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    found = redact(text)
    if not is_structured(text):
        return
    assert is_structured(found)
    assert _shape(json.loads(found)) == _shape(value)
    assert redact(found) == found


def _shape(value: object) -> object:
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, dict):
        names = {redact(name) for name in value}
        return "object" if len(names) < len(value) else [_shape(item) for item in value.values()]
    return None
