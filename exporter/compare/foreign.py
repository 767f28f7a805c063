"""What to say of a key's traffic that is not Dify's: for reports over a window of time, because it belongs to no call."""

from __future__ import annotations

from exporter.compare.wording import finding, split
from exporter.model import Confidence, Finding


def foreign_traffic(requests: int, tokens_in: int, tokens_out: int) -> Finding:
    """The finding of requests under Dify's key that nothing in Dify explains; the whole amount, Dify's side being
    nothing. Only possible: Dify may have asked, and kept nothing to recognise it by."""
    amount = (tokens_in, tokens_out)
    return finding("foreign_traffic", Confidence.POSSIBLE, amount, billed=split(*amount), requests=requests)
