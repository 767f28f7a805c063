"""Which vendor requests belong to which Dify call: `match` is the way in.

parts → signs → candidates (what is worth judging), evidence → rules (what proves a pair), pairing → attempts → lost →
leftovers (who gets what, surest first), rivals and stories (what stands against it), crowd (too many alike). Beside it:
skew (clocks), duplicates (logged twice). Pure: no clock, no I/O, no order.
"""
