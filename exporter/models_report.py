"""`models`: how each model of the ledger is counted here, how far that can be trusted, and what it has shown so far."""

from __future__ import annotations

from typing import Any

from exporter.compare.calibration import Observed, observed
from exporter.config import Settings
from exporter.local import mapping
from exporter.local.families import family
from exporter.model import Micros
from exporter.state import models
from exporter.state.models import ModelCalls
from exporter.state.store import Store

Document = dict[str, Any]

_TEMPLATES = {template: name for name, template in mapping.TEMPLATES.items()}


def documents(
    store: Store, settings: Settings, since: Micros | None = None, until: Micros | None = None
) -> list[Document]:
    """One object a model called in the stretch, most used first. `observed` is local ÷ vendor over the ledger's own calls; shown,
    never applied."""
    mapping.use(item.rule() for item in settings.models)
    with store.read() as connection:
        return [_document(item) for item in models.seen(connection, since, until)]


def _document(item: ModelCalls) -> Document:
    told = family(item.model, item.provider)
    return {
        "provider": item.provider,
        "model": item.model,
        "calls": item.calls,
        "family": told.name,
        "tokenizer": told.vocabulary,
        "template": _TEMPLATES.get(told.template),
        "accuracy": told.accuracy.value,
        "error_pct": told.error_pct if told.vocabulary else None,
        "error_tokens": told.error_tokens if told.vocabulary else None,
        "note": told.note,
        "dify_kinds": dict(item.kinds.most_common()),
        "observed": {
            "input": _observed(observed(item.inputs)),
            "output": _observed(observed(item.outputs)),
        },
    }


def _observed(found: Observed | None) -> Document | None:
    if found is None:
        return None
    return {
        "calls": found.calls,
        "equal": found.exact,
        "ratio": round(found.ratio, 4),
        "low": None if found.low is None else round(found.low, 4),
        "high": None if found.high is None else round(found.high, 4),
    }
