"""Makes Findings out of the catalogue's words and the facts of a case."""

from __future__ import annotations

from exporter.compare.catalog import ESTIMATE_RULES, FINDINGS
from exporter.model import Confidence, Finding


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


def rule_words(rule: str | None, vocabulary: str | None = None) -> str:
    """How the plugin estimated, in words."""
    return ESTIMATE_RULES[rule or "unknown"].format(vocabulary=vocabulary)


def listed(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join((", ".join(parts[:-1]), parts[-1])) if len(parts) > 1 else "".join(parts)
