"""One call with both numbers known, and what its vendor requests say of it: the ground that the rules stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.model import Attempt, Call, DifyReading, LocalReading, Sums, Tokens, VendorReading

Amount = tuple[int, int]
"""Input and output tokens, vendor − dify where it is a difference."""

NOTHING: Amount = (0, 0)


@dataclass(frozen=True, slots=True)
class Case:
    """One call with both numbers known. A missing Dify record counts as 0: nothing was recorded.

    `sums` are those of the call's trace, where they are known.
    """

    call: Call
    dify: DifyReading | None
    vendor: VendorReading
    vendor_counts: Amount
    local: LocalReading | None = None
    sums: Sums | None = None

    @property
    def recorded(self) -> Amount:
        """Dify's input and output."""
        return recorded(self.dify)

    @property
    def difference(self) -> Amount:
        """Vendor − dify."""
        return minus(self.vendor_counts, self.recorded)


def case_of(
    call: Call,
    dify: DifyReading | None,
    local: LocalReading | None,
    vendor: VendorReading | None,
    sums: Sums | None = None,
) -> Case | None:
    """The Case, or None when there is no independent vendor reading with both numbers."""
    if vendor is None or not vendor.independent:
        return None
    if vendor.tokens.input is None or vendor.tokens.output is None:
        return None
    return Case(call, dify, vendor, (vendor.tokens.input, vendor.tokens.output), local, sums)


def recorded(dify: DifyReading | None) -> Amount:
    """What Dify recorded, nothing as 0."""
    tokens = dify.tokens if dify else Tokens()
    return tokens.input or 0, tokens.output or 0


def is_nothing(dify: DifyReading | None) -> bool:
    """Whether Dify recorded no tokens at all, not even a total."""
    return recorded(dify) == NOTHING and not (dify and dify.total)


def thrown_away(case: Case) -> list[Attempt]:
    """Billed attempts before the last whose numbers never reached Dify: broken ones, and whole answers where Dify's
    number is that of the last attempt alone."""
    billed = [attempt for attempt in case.vendor.attempts if attempt.tokens.total]
    broken = [attempt for attempt in billed[:-1] if attempt.status == "aborted"]
    whole = [attempt for attempt in billed if attempt.status != "aborted"]
    if len(whole) > 1 and case.recorded == sum_of(whole[-1:]) != sum_of(whole):
        return broken + whole[:-1]
    return broken


def kept_attempts(case: Case) -> list[Tokens]:
    """The counts that could have reached Dify's record; the reading itself where attempts are not known."""
    thrown = thrown_away(case)
    kept = [
        attempt.tokens for attempt in case.vendor.attempts if attempt not in thrown and attempt.tokens.total
    ]
    return kept or [case.vendor.tokens]


def last_billed(case: Case) -> Attempt | None:
    """The last request that the vendor billed."""
    return next((attempt for attempt in reversed(case.vendor.attempts) if attempt.tokens.total), None)


def is_gateway_count(case: Case) -> bool:
    """Whether some of the vendor's side was counted by a gateway itself."""
    return any(attempt.is_estimated for attempt in case.vendor.attempts)


def sum_of(attempts: Sequence[Attempt]) -> Amount:
    """Input and output of attempts, unknown as 0."""
    return sum_tokens([attempt.tokens for attempt in attempts])


def sum_tokens(counts: Sequence[Tokens]) -> Amount:
    """Input and output of counts, unknown as 0."""
    return sum(tokens.input or 0 for tokens in counts), sum(tokens.output or 0 for tokens in counts)


def minus(left: Amount, right: Amount) -> Amount:
    """Part by part."""
    return left[0] - right[0], left[1] - right[1]


def is_within(small: Amount, large: Amount) -> bool:
    """Whether both parts are at most those of the other."""
    return small[0] <= large[0] and small[1] <= large[1]
