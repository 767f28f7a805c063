"""Copy a few rows of the recorded instances into `tests/data/vendor/recorded-rows.json`, for tests without recordings.

    python -m tests.vendor.make_recorded_rows ../shared

Each part holds the calls of chosen README rows as `assemble` gave them, the canonical records of all vendor requests of
those rows (hidden ones too), and the truth: which requests each trace owns and what they add up to.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from tests.vendor import recorded_calls as recorded
from tests.vendor.convert_recording import canonical, lines

TARGET = Path(__file__).parents[1] / "data" / "vendor" / "recorded-rows.json"
ROWS = {
    "1.12.1": (
        recorded.V1_12,
        (1, 13, 14, 18, 19, 21, 44, 49, 52, 58, 68, 73, 75, 77, 78, 80, 86, 101, 104, 105),
    ),
    "1.14.0": (recorded.V1_14, (7, 20, 29, 46, 87, 90, 94, 95, 96, 99, 107, 108, 118)),
}


def part(shared: Path, instance: recorded.Instance, numbers: tuple[int, ...]) -> dict[str, Any]:
    """The copied rows of one instance."""
    rows = [row for row in recorded.truth(shared, instance) if row.number in numbers]
    seqs = frozenset().union(*(row.seqs for row in rows))
    log = [line for line in lines(shared / "dify" / instance.log) if line["seq"] in seqs]
    named = {identity for row in rows for identity in row.ids}
    traces = [
        t for t in recorded.traces(shared, instance) if named & set(recorded.record_ids(t)) or _is_burst(t)
    ]
    return {
        "traces": [
            {"ids": recorded.record_ids(t), "users": t.user_aliases, "calls": list(t.calls)}
            for t in traces
            if t.calls
        ],
        "records": [canonical(line) for line in log],
        "kinds": {line["id"]: line["kind"] for line in log},
        "rows": [
            {"ids": row.ids, "billed": row.billed, "requests": [x["id"] for x in log if x["seq"] in row.seqs]}
            for row in rows
        ],
    }


def _is_burst(trace: Any) -> bool:
    """Row 101 of 1.12.1 names no ids: eight chats of users burst-0 to burst-7 in one second."""
    return (trace.user_id or "").startswith("burst-")


if __name__ == "__main__":
    parts = {name: part(Path(sys.argv[1]), *rows) for name, rows in ROWS.items()}
    TARGET.write_bytes(orjson.dumps(parts, default=str, option=orjson.OPT_APPEND_NEWLINE))
