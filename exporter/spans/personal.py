"""Mail addresses, telephone numbers, resident ID cards of China and bank cards in running text.

Where a number has a check digit it must be right: most numbers of that length are something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from exporter.spans.detectors import WORD_LEFT, Detector, places, when

# ── e-mail ──────────────────────────────────────────────────────────────────────────────────────────────────

_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-")
_LONGEST_LOCAL = 64
_ESCAPE = re.compile(r"\\(?:[nrt]|u[0-9A-Fa-f]{4})")


def _mail_starts(text: str) -> Sequence[int]:
    return [_local_start(text, place) for place in places(text, "@")] if "@" in text else ()


def _local_start(text: str, at: int) -> int:
    start = at
    while start and at - start < _LONGEST_LOCAL and text[start - 1] in _LOCAL:
        start -= 1
    escape = _ESCAPE.match(text, start - 1) if start else None
    start = min(escape.end(), at) if escape else start
    while text[start] == ".":
        start += 1
    return start


_EMAIL = re.compile(
    r"[A-Za-z0-9_%+-][A-Za-z0-9._%+-]{0,63}@(?!\d+x\.|v?\d+\.\d)"  # no icon@2x.png, no library@1.0.0-beta.rc
    r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9]|:[\w~/.-]{1,100}/)"
)


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

_NUMBER_LEFT = WORD_LEFT + r"(?<!\d[-.])"
_NUMBER_RIGHT = r"(?![0-9A-Za-z_]|\.\d)"
_DIGITS = re.compile(r"\d")
_SEVEN_DIGITS = re.compile(r"[0-9](?:[ ()./-]{0,3}[0-9]){6}")
_NUMBER_BEGINS = "+(0123456789"


def _number_starts(text: str) -> Sequence[int]:
    """Every beginning of a run of digits, with the + and ( in front of it, where seven digits stand close together."""
    return [
        place
        for found in _SEVEN_DIGITS.finditer(text)
        for place in range(max(found.start() - 2, 0), found.end())
        if text[place] in _NUMBER_BEGINS and _is_first_digit(text, place)
    ]


def _is_first_digit(text: str, place: int) -> bool:
    return not place or text[place - 1] not in "0123456789" or text[max(0, place - 6) : place - 4] == "\\u"


_ID_CARD = re.compile(
    r"(?:(?<!\d)|(?<=\\u[0-9A-Fa-f]{4}))(?<!\d[-.])[1-8]\d{5}[ -]?[12]\d{7}[ -]?\d{3}[\dXx](?![0-9A-Za-z])"
)
_PROVINCES = {
    11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46,
    50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82, 83,
}  # fmt: skip


def is_id_card(text: str) -> bool:
    """A resident ID number of GB 11643-1999: province, date of birth, and the check character of ISO 7064 MOD 11-2."""
    number = [character for character in text if character not in " -"]
    if len(number) != 18 or not all(map(str.isdecimal, number[:17])):
        return False
    digits = "".join(str(int(character)) for character in number[:17])
    try:
        date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        return False
    if int(digits[:2]) not in _PROVINCES or not 1800 <= int(digits[6:10]) < 2100:
        return False
    rest = sum(int(digit) * (2 ** (17 - place) % 11) for place, digit in enumerate(digits)) % 11
    wanted = (12 - rest) % 11
    last = number[17]
    return last in "Xx" if wanted == 10 else last.isdecimal() and int(last) == wanted


_BANK_CARD = re.compile(_NUMBER_LEFT + r"[2-69]\d{3}(?:[ -]?\d){10,15}" + _NUMBER_RIGHT + r"(?!-\d)")
_ISSUED = re.compile(
    r"4\d{15}(?:\d{3})?|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[689]\d)\d{11}|(?:220[0-4]|35[2-8]\d|50\d\d|5[6-8]\d\d|6\d{3}|955\d)\d{12,15}"
)
"""Lengths by issuer range (ISO/IEC 7812): Visa, Mastercard, American Express, Diners, then Mir, JCB, Maestro, UnionPay
with Discover and RuPay, and the 955xx range of Chinese banks."""


def is_bank_card(text: str) -> bool:
    """A card number of an issuer's range and length whose Luhn sum (ISO/IEC 7812-1 Annex B) is right."""
    digits = [int(digit) for digit in _DIGITS.findall(text)]
    if _ISSUED.fullmatch("".join(map(str, digits))) is None:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _bank_card_length(text: str) -> int:
    """The card number that `text` begins with: another number may stand a space behind it."""
    ends = [place for place, character in enumerate(text) if character in " -"]
    return next((end for end in (len(text), *reversed(ends)) if is_bank_card(text[:end])), 0)


_PHONE = re.compile(
    rf"""(?x:
    {_NUMBER_LEFT}
    (?:
        (?:\(?(?:\+|00)?\ ?86\)?[ -]?)? 1[3-9]\d [ .-]?\d{{4}}[ .-]?\d{{4}}             # mainland China, mobile
      | (?:\(?(?:\+|00)?\ ?86\)?[ -]?)? 1[3-9]\d [ .-]?\d{{3}}[ .-]?\d{{5}}
      | \+[17](?:[ ()./-]{{0,3}}\d){{10}}                               # international, fixed length
      | \+86(?:[ ()./-]{{0,3}}\d){{8,11}}
      | \+(?!86)[2-9](?:[ ()./-]{{0,3}}\d){{7,14}}                      # international, up to 15 digits
      | 00[1-9]\d{{0,2}}[ /-](?:[ ()./-]{{0,3}}\d){{6,12}}
      | (?:1[ .-])?(?:\([2-9]\d\d\)[ -]?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{{4}}             # North America
      | 0[1-9](?:[ .]\d\d){{4}}                                                        # France
      | 0[1-9]\d{{0,3}}[ /-]\d{{3,4}}(?:[ -]?\d{{3,4}}){{1,3}}                             # with an area code
      | \(0[1-9]\d{{0,3}}\)[ -]?\d{{3,4}}(?:[ -]?\d{{3,4}}){{1,3}}
    )
    {_NUMBER_RIGHT}
    )"""
)


def is_phone(text: str) -> bool:
    """A number of 9 to 17 digits, prefixes counted; telephone numbers have no check digit."""
    return 9 <= len(_DIGITS.findall(text)) <= 17


EMAIL = Detector("[email]", _mail_starts, _EMAIL)
ID_CARD = Detector("[id card]", _number_starts, _ID_CARD, when(is_id_card))
BANK_CARD = Detector("[bank card]", _number_starts, _BANK_CARD, _bank_card_length)
PHONE = Detector("[phone]", _number_starts, _PHONE, when(is_phone))
