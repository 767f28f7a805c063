"""`calibrate`: the small-sample procedure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from exporter import clock
from exporter.cli.common import Json, Misused, app, as_asked, err, load, open_store, out, print_json
from exporter.errors import Misconfigured
from exporter.printed_money import short
from exporter.terminal import say, whole

_TIMEOUT_SECONDS = 300.0
"""The longest answer that is waited for."""


@app.command()
def calibrate(
    context: typer.Context,
    url: Annotated[str, typer.Option(help="Dify's Service API, such as https://dify.example.com/v1.")],
    key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the app's key (app-…); never the key itself.")
    ] = "DIFY_APP_KEY",
    times: Annotated[int, typer.Option("-n", "--times", min=1, help="How often each prompt is asked.")] = 3,
    every: Annotated[float, typer.Option(min=0.0, help="Seconds between two questions.")] = 2.0,
    prompts: Annotated[
        Path | None, typer.Option(help="Own prompts: one a line, or YAML (name, kind, text).")
    ] = None,
    variable: Annotated[
        str | None, typer.Option("--input", help="Variable that takes the prompt, in apps with a form.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Model to estimate the cost for: provider/model or model.")
    ] = None,
    wait: Annotated[float, typer.Option(help="Seconds to wait for records and vendor evidence.")] = 300.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would ask and cost.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending.")] = False,
    as_json: Json = False,
) -> None:
    """Ask one app fixed prompts and compare the three readings: in or out of tolerance, and the likely cause. Costs money. Exit 1 when out of tolerance."""
    from exporter.calibrate import document, forecast, runs
    from exporter.calibrate.prompts import read_prompts
    from exporter.calibrate.service_api import ServiceApp
    from exporter.state import models

    settings = load(context).settings
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise Misconfigured(
            [f"{key_env}: the app's key is needed in this environment variable"], f"export {key_env}=app-…"
        )
    if not key.isascii() or not key.isprintable():
        raise Misconfigured([f"{key_env}: not a key, it has characters that no key has"])
    with as_asked():
        chosen = read_prompts(prompts)
    asked = ServiceApp(url, key, _TIMEOUT_SECONDS, variable)
    info = asked.info()
    with open_store(settings) as store, store.read() as connection:
        known = _named(model) or models.newest_of(connection, info.name)
    expected = forecast.forecast(chosen, times, known, clock.now())
    if not as_json or dry_run:
        _tell(expected, info, as_json=as_json)
    if dry_run:
        raise typer.Exit(0)
    if not yes and (as_json or not typer.confirm("Ask now?", err=True)):
        raise Misused("nothing was asked: it costs money and needs a yes; add --yes")
    done = []
    with as_asked():
        for run in runs.ask_all(asked, info.mode, chosen, times, every):
            done.append(run)
            say(err, f"asked {len(done)} of {len(chosen) * times}")
    samples = runs.wait_for(
        settings, done, wait, lambda ready, of: say(err, f"{ready} of {of} read and judged")
    )
    found = document.document(info, chosen, done, samples, settings.compare.tolerance_percent)
    if as_json:
        print_json(found)
    else:
        _print(found)
    raise typer.Exit(1 if found["standing"] == "out" else 0)


def _named(model: str | None) -> tuple[str | None, str] | None:
    if model is None:
        return None
    provider, slash, name = model.rpartition("/")
    return (provider if slash else None, name)


def _tell(expected: Any, info: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "app": {"name": info.name, "mode": info.mode}, "requests": expected.requests, "model": expected.model,
                "input": expected.input, "output": expected.output,
                "cost": None if expected.cost is None else format(expected.cost.amount, "f"),
                "currency": None if expected.cost is None else expected.cost.currency, "note": expected.note or None,
            }
        )  # fmt: skip
        return
    tokens = (
        "an unknown number of" if expected.input is None else f"about {expected.input + expected.output:,}"
    )
    cost = (
        "unknown cost"
        if expected.cost is None
        else f"about {short(expected.cost.amount)} {expected.cost.currency}"
    )
    say(
        out,
        f"{expected.requests} questions to {info.name} ({info.mode}): {tokens} tokens, {cost},"
        " and what the app adds to each prompt.",
    )
    if expected.note:
        say(out, expected.note, "dim")


def _print(found: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("prompt", "runs", "dify", "local", "vendor", "dify ÷ vendor", "local ÷ vendor", ""):
        table.add_column(name, justify="left" if name in ("prompt", "") else "right")
    for row in found["prompts"]:
        table.add_row(
            escape(row["prompt"]), str(row["runs"]), *(_mean(row[name]) for name in ("dify", "local", "vendor")),
            _ratio(row["ratios"]["dify_vendor"]), _ratio(row["ratios"]["local_vendor"]),
            row["ratios"]["dify_vendor"]["standing"],
        )  # fmt: skip
    whole(out, table)
    for name, words in (
        ("dify_vendor", "dify ÷ vendor"),
        ("local_vendor", "local ÷ vendor"),
        ("dify_local", "dify ÷ local"),
    ):
        ratio = found["ratios"][name]
        if ratio["runs"]:
            say(
                out,
                f"{words}: {_ratio(ratio)} over {ratio['runs']} runs, {ratio['standing']} (tolerance {found['tolerance_percent']:g} %)",
            )
    cause = found["cause"]
    out.print()
    say(out, f"{cause['words']} [{cause['code']}]", "bold")
    for text in (cause["evidence"], cause["advice"]):
        if text:
            say(out, text, indent=2)
    for item in found["failures"]:
        say(err, f"{item['prompt']}: {item['why']}", "red")
        if item["record_id"]:
            say(
                err,
                f"Dify keeps it as {item['record_id']}: the vendor may bill it; see `dify-exporter explain {item['record_id']}`",
                indent=2,
            )


def _mean(pair: dict[str, float] | None) -> str:
    return "–" if pair is None else f"{pair['input']:g} → {pair['output']:g}"


def _ratio(ratio: dict[str, Any]) -> str:
    if ratio["mean"] is None:
        return "–"
    if ratio["low"] is None:
        return f"{ratio['mean']:.3f}"
    return f"{ratio['mean']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"
