"""How Python's collector is set for a process that makes and drops very many small objects.

Traces are trees without cycles, so reference counting frees them at once; the cycle collector only costs time, the more
the larger what is loaded once (vocabularies, modules). It still runs, seldom, for what does hold cycles.
"""

from __future__ import annotations

import gc

_YOUNG_OBJECTS = 50_000


def collect_seldom() -> None:
    """Leave what is loaded by now out of every collection, and make collections rare. Called once, at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
