"""What a calibration found: per prompt and over all, the ratios of the three readings with their confidence, and the cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from exporter.calibrate.causes import Pair, Sample, likely_cause
from exporter.calibrate.prompts import Prompt
from exporter.calibrate.runs import Run
from exporter.calibrate.service_api import AppInfo
from exporter.calibrate.statistics import Interval, interval, standing

Document = dict[str, Any]
_RATIOS: dict[str, tuple[Callable[[Sample], Pair | None], Callable[[Sample], Pair | None]]] = {
    "dify_vendor": (lambda item: item.dify, lambda item: item.vendor),
    "local_vendor": (lambda item: item.local, lambda item: item.vendor),
    "dify_local": (lambda item: item.dify, lambda item: item.local),
}


def document(
    info: AppInfo,
    prompts: Sequence[Prompt],
    runs: Sequence[Run],
    samples: Sequence[Sample],
    tolerance_percent: float,
) -> Document:
    """`standing` of a ratio is in | out | undecided | unknown; that of the whole is dify ÷ vendor's, or dify ÷ local's where the
    vendor was not heard."""
    overall = _ratios(samples, tolerance_percent)
    heard = any(item.vendor is not None for item in samples)
    cause = likely_cause(samples)
    return {
        "app": {"name": info.name, "mode": info.mode},
        "tolerance_percent": tolerance_percent,
        "asked": len(runs),
        "read": len(samples),
        "judged": sum(item.vendor is not None for item in samples),
        "failures": [
            {"prompt": run.prompt.name, "why": run.failure, "record_id": run.record_id}
            for run in runs
            if run.failure
        ],
        "standing": overall["dify_vendor" if heard else "dify_local"]["standing"],
        "ratios": overall,
        "cause": {
            "code": cause.code,
            "words": cause.words,
            "evidence": cause.evidence,
            "advice": cause.advice,
        },
        "prompts": [_prompt(prompt, samples, tolerance_percent) for prompt in prompts],
        "runs": [_run(item) for item in samples],
    }


def _prompt(prompt: Prompt, samples: Sequence[Sample], tolerance_percent: float) -> Document:
    mine = [item for item in samples if item.prompt == prompt.name]
    return {
        "prompt": prompt.name,
        "kind": prompt.kind,
        "runs": len(mine),
        **{name: _mean([getattr(item, name) for item in mine]) for name in ("dify", "local", "vendor")},
        "ratios": _ratios(mine, tolerance_percent),
    }


def _mean(pairs: Sequence[Pair | None]) -> Document | None:
    known = [pair for pair in pairs if pair is not None]
    if not known:
        return None
    return {
        part: round(sum(pair[place] for pair in known) / len(known), 2)
        for place, part in enumerate(("input", "output"))
    }


def _ratios(samples: Sequence[Sample], tolerance_percent: float) -> Document:
    return {name: _ratio(samples, *sides, tolerance_percent) for name, sides in _RATIOS.items()}


def _ratio(
    samples: Sequence[Sample],
    over: Callable[[Sample], Pair | None],
    under: Callable[[Sample], Pair | None],
    tolerance_percent: float,
) -> Document:
    pairs = [(over(item), under(item)) for item in samples]
    totals = [(left[0] + left[1], right[0] + right[1]) for left, right in pairs if left and right]
    values = [left / right for left, right in totals if right]
    found = interval(values)
    return {**_interval(found), "standing": standing(found, tolerance_percent)}


def _interval(found: Interval | None) -> Document:
    if found is None:
        return {"runs": 0, "mean": None, "low": None, "high": None}
    ends = [None if end is None else round(end, 4) for end in (found.low, found.high)]
    return {"runs": found.count, "mean": round(found.mean, 4), "low": ends[0], "high": ends[1]}


def _run(item: Sample) -> Document:
    return {
        "prompt": item.prompt, "record_id": item.record_id, "verdict": item.verdict,
        **{name: getattr(item, name) for name in ("dify", "local", "vendor")},
    }  # fmt: skip
