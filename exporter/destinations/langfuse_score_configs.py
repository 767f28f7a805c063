"""What our scores mean, told to Langfuse once: a score config for each name, whose description its pages show.

Only names that the project does not know yet are made, archived ones count as known. Scores do not refer to them, so an
operator may change or archive a config without a score being refused; and scores work without them.
"""

from __future__ import annotations

from typing import Any

import orjson
import structlog

from exporter.destinations.http import JSON, Http, Reply
from exporter.errors import Misconfigured, Unreachable
from exporter.model import Verdict
from exporter.spans.scores import COST, DIFY, LOCAL, UNEXPLAINED, VERDICT

_PAGE = 100
_MOST_PAGES = 50

_MEANINGS = {
    DIFY: "Tokens that Dify recorded, divided by those that the vendor counted; 1 = equal, below 1 = Dify missed some.",
    LOCAL: "Tokens of dify-exporter's own count, divided by those that the vendor counted; 1 = equal.",
    UNEXPLAINED: "Tokens of vendor minus Dify that no finding accounts for; 0 = everything is explained.",
    VERDICT: "What the comparison of vendor, Dify and own count says of the trace.",
    COST: "US dollars that the vendor asked for, minus those that Dify recorded.",
}

log = structlog.get_logger()


def make_missing(http: Http, api: str) -> int:
    """Make the configs that the project does not have; returns how many. What the server does not allow is left as it is
    and told in the log."""
    try:
        known = _known(http, api)
        missing = [config for config in _configs() if config["name"] not in known]
        for config in missing:
            _expect(http.post(f"{api}/score-configs", orjson.dumps(config), JSON))
    except (Unreachable, Misconfigured, _NotAllowed) as error:
        log.info("score_configs_not_made", reason=str(error))
        return 0
    return len(missing)


class _NotAllowed(Exception):
    """The server does not do it; the text is the status."""


def _known(http: Http, api: str) -> set[str]:
    names: set[str] = set()
    for page in range(1, _MOST_PAGES + 1):
        answer = _expect(http.get(f"{api}/score-configs", {"page": str(page), "limit": str(_PAGE)}))
        rows = answer.get("data")
        if not isinstance(rows, list):
            raise _NotAllowed("the list of score configs is unreadable")
        names.update(str(row.get("name")) for row in rows)
        if len(rows) < _PAGE:
            return names
    raise _NotAllowed("the project has too many score configs")


def _configs() -> list[dict[str, Any]]:
    categories = [{"label": str(verdict), "value": number} for number, verdict in enumerate(Verdict)]
    return [
        {
            "name": name,
            "description": meaning,
            **(
                {"dataType": "CATEGORICAL", "categories": categories}
                if name == VERDICT
                else {"dataType": "NUMERIC"}
            ),
        }
        for name, meaning in _MEANINGS.items()
    ]


def _expect(reply: Reply) -> dict[str, Any]:
    if reply.status not in (200, 201):
        raise _NotAllowed(f"HTTP {reply.status}")
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise _NotAllowed("the answer is not JSON") from None
    return answer if isinstance(answer, dict) else {}
