"""Keys, tokens and passwords in running text: by the form that their makers give them, or by the name in front of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exporter.spans.detectors import WORD_LEFT, Detector, places, signs_of, when

_DIGIT = re.compile(r"\d")
_MIXED_RUN = re.compile(r"(?=[A-Za-z]{0,7}\d)(?=\d{0,7}[A-Za-z])[A-Za-z0-9]{8}|[A-Za-z0-9]{16}")


def is_random(text: str) -> bool:
    """A stretch of letters and digits mixed, or one too long for a word: `sk-learn-contrib-2024` is no key."""
    return _MIXED_RUN.search(text, 3) is not None


def is_token(text: str) -> bool:
    """No ordinary word: "Bearer authentication" is none, `Bearer abc.def.ghi` and `token=q1w2e3r4` are."""
    if _DIGIT.search(text):
        return not text.isdecimal()
    return text.count(".") >= 2 or (len(text) >= 24 and not text.islower() and "_" not in text)


def _has_variety(text: str) -> bool:
    body = text.partition("-")[2]
    return _DIGIT.search(body) is not None or not (body.islower() or body.isupper())


_NAME = re.compile(
    r"(?i:(?:api|access|account|auth|private|secret)[_ -]?key|token|secret|passwd|password|密码|口令)[\"']?\s{0,3}\Z"
)
_LONGEST_NAME = 24


def names_a_secret(name: str) -> bool:
    """True for a name such as `api_key` or `dbPassword`; its value is a secret unless it is an ordinary word."""
    return _NAME.search(name) is not None


def _value_starts(text: str) -> Sequence[int]:
    """The : and = after a name such as api_key."""
    if ":" not in text and "=" not in text and "：" not in text:
        return ()
    lower = text.lower()
    if not any(word in lower for word in ("key", "token", "secret", "passw", "密码", "口令")):
        return ()
    return [
        place
        for place in sorted(at for sign in ":=：" if sign in text for at in places(text, sign))
        if _NAME.search(text, max(0, place - _LONGEST_NAME), place)
    ]


_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){0,20000}"
    r"(?:-----END [A-Z0-9 ]{0,40}-----)?"
)
_JWT = re.compile(
    r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{8,20000}(?:\.[A-Za-z0-9_-]{0,20000}){2,4}"
)
_PREFIXED = re.compile(
    rf"{WORD_LEFT}(?:(?:AKIA|ASIA)[0-9A-Z]{{16}}"
    r"|gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{22,255}|glpat-[A-Za-z0-9_-]{20,255}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,255}|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,100}|npm_[A-Za-z0-9]{36}"
    r"|LTAI[A-Za-z0-9]{12,26}|AKID[A-Za-z0-9]{32}|gsk_[A-Za-z0-9]{40,100}|xai-[A-Za-z0-9]{40,200}"
    r"|lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,100}|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}"
    r"|ya29\.[A-Za-z0-9_-]{20,500}|[spr]k_(?:live|test)_[A-Za-z0-9]{10,255})(?![A-Za-z0-9])"
)
_SECRET_KEY = re.compile(WORD_LEFT + r"[spr]k-[A-Za-z0-9_-]{12,300}")
_DIFY_KEY = re.compile(WORD_LEFT + r"(?:app|dataset)-[A-Za-z0-9]{20,64}(?![A-Za-z0-9_-])")
_SIGNATURES = ("sign", "sig", "signature", "Signature", "X-Amz-Signature")
_SIGNED = re.compile(rf"[?&](?:{'|'.join(_SIGNATURES)})=(?P<secret>[A-Za-z0-9%_=+/-]{{16,1000}})")
_BEARER = re.compile(r"[Bb](?:earer|EARER)\s{1,5}(?P<secret>[A-Za-z0-9._~+/-]{12,20000}={0,2})")
_VALUE = re.compile(r"[:=：]\s{0,3}[\"']?(?P<secret>[A-Za-z0-9+/_.~!@#$%^&*-]{8,2000}={0,2})(?![A-Za-z0-9])")

_MARK = "[key]"
KEYS = (
    Detector(_MARK, signs_of("-", "-----BEGIN"), _PRIVATE_KEY),
    Detector(_MARK, signs_of(".", "eyJ"), _JWT),
    Detector(
        _MARK,
        signs_of("_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "npm_", "gsk_"),
        _PREFIXED,
    ),
    Detector(
        _MARK,
        signs_of("_", "lsv2_", "sk_live_", "pk_live_", "rk_live_", "sk_test_", "pk_test_", "rk_test_"),
        _PREFIXED,
    ),
    Detector(_MARK, signs_of("-", "glpat-", "xox", "xai-"), _PREFIXED),
    Detector(_MARK, signs_of("I", "AKIA", "ASIA", "AIza", "LTAI", "AKID"), _PREFIXED),
    Detector(_MARK, signs_of(".", "SG.", "ya29."), _PREFIXED),
    Detector(_MARK, signs_of("-", "sk-", "pk-", "rk-"), _SECRET_KEY, when(is_random)),
    Detector(_MARK, signs_of("-", "app-", "dataset-"), _DIFY_KEY, when(_has_variety)),
    Detector(_MARK, signs_of("", "earer", "EARER", back=1), _BEARER, when(is_token)),
    Detector(_MARK, _value_starts, _VALUE, when(is_token)),
    Detector(_MARK, signs_of("=", *(f"{mark}{name}=" for mark in "?&" for name in _SIGNATURES)), _SIGNED),
)
