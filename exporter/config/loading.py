"""File, environment and flags become one tree, validated whole.

Order of precedence: flags, then environment, then file, then defaults. The ecosystem's own variables (LANGFUSE_…,
LANGSMITH_…, OTEL_EXPORTER_OTLP_…, DIFY_DATABASE_URL) fill what our own settings left open.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml
from pydantic import BaseModel, ValidationError

from exporter.config.bills import fill_from_environment
from exporter.config.tree import Settings
from exporter.errors import Misconfigured

PREFIX = "DIFY_EXPORTER_"
DEFAULT_FILE = "dify-exporter.yaml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings and, per dotted path, where each value came from."""

    settings: Settings
    origins: dict[str, str]


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read file, environment and flags (dotted path → value) into one tree.

    Raises `Misconfigured` with every problem found. Without `file`, `dify-exporter.yaml` of the current folder
    is read when it exists (`DIFY_EXPORTER_CONFIG` names another one).
    """
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    tree: dict[str, Any] = {}
    origins: dict[str, str] = {}
    from_file, file_name = _read_file(file, environ, problems)
    _merge(tree, from_file, origins, file_name)
    _merge(tree, _from_environment(environ, problems), origins, "environment")
    _merge_ecosystem(tree, environ, origins)
    for path, value in (flags or {}).items():
        if value is not None:
            _merge(tree, _nest(path.split("."), value), origins, "flag")
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        problems += [_problem(item, origins) for item in error.errors()]
    if problems:
        raise Misconfigured(problems, "`dify-exporter config show` lists every setting with its meaning")
    return Loaded(settings, origins)


def _read_file(
    file: Path | None, environ: Mapping[str, str], problems: list[str]
) -> tuple[dict[str, Any], str]:
    named = file or (Path(environ[PREFIX + "CONFIG"]) if environ.get(PREFIX + "CONFIG") else None)
    path = named or Path(DEFAULT_FILE)
    if named is None and not path.exists():
        return {}, str(path)
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return {}, str(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" at line {where.line + 1}" if where else ""
        problems.append(
            f"{path}: is not valid YAML{line}: {getattr(error, 'problem', None) or 'unreadable text'}"
        )
        return {}, str(path)
    if content is None:
        return {}, str(path)
    if not isinstance(content, dict):
        problems.append(
            f"{path}: must hold sections (dify:, destinations:, …), not a {type(content).__name__}"
        )
        return {}, str(path)
    return content, str(path)


def leaves(
    model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting as (path, field), depth first; lists and maps are leaves."""
    for name, field in model.model_fields.items():
        path = (*prefix, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, path)
        else:
            yield path, field


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    known = {"_".join(path).upper(): path for path, _ in leaves()}
    tree: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG" or not text:
            continue  # Compose sets what it does not know to nothing
        path = known.get(variable[len(PREFIX) :].replace("__", "_").upper())
        if path is None:
            problems.append(f"{variable}: no such setting")
            continue
        try:
            value = yaml.safe_load(text) if text[:1] in "[{" else text
        except yaml.YAMLError:
            problems.append(f"{variable}: is neither plain text nor a valid YAML or JSON value")
            continue
        _merge(tree, _nest(list(path), value), {}, "")
    return tree


def _merge_ecosystem(tree: dict[str, Any], environ: Mapping[str, str], origins: dict[str, str]) -> None:
    """The ecosystem's own variables fill what our own settings left open."""
    url = environ.get("DIFY_DATABASE_URL")
    database = tree.setdefault("dify", {}) if isinstance(tree.get("dify", {}), dict) else {}
    if url and isinstance(database, dict):
        section = database.setdefault("database", {})
        if isinstance(section, dict) and not section.get("url"):
            section["url"] = url
            origins["dify.database.url"] = "environment (DIFY_DATABASE_URL)"
    resource = environ.get("OTEL_RESOURCE_ATTRIBUTES")
    if resource and "resource" not in tree:
        tree["resource"] = _key_values(resource)
        origins["resource"] = "environment (OTEL_RESOURCE_ATTRIBUTES)"
    _merge_metrics(tree, environ, origins)
    fill_from_environment(tree.get("bills"), environ)
    listed = tree.setdefault("destinations", [])
    if not isinstance(listed, list):
        return
    for kind, found in _ecosystem_destinations(environ):
        mine = [item for item in listed if isinstance(item, dict) and item.get("kind") == kind]
        if not mine:
            if kind == "langfuse" and not (found.get("public_key") and found.get("secret_key")):
                continue
            if kind == "langsmith" and not found.get("api_key"):
                continue
            listed.append({"kind": kind, **found})
            origins[f"destinations.{len(listed) - 1}"] = f"environment ({_VARIABLES[kind]})"
            continue
        for item in mine:
            for name, value in found.items():
                if not item.get(name):
                    item[name] = value


def _merge_metrics(tree: dict[str, Any], environ: Mapping[str, str], origins: dict[str, str]) -> None:
    """Metrics are pushed only where they are asked for: the variable of all signals does not."""
    endpoint = environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    section = tree.setdefault("metrics", {}) if endpoint else None
    otlp = section.setdefault("otlp", {}) if isinstance(section, dict) else None
    if not isinstance(otlp, dict) or otlp.get("endpoint"):
        return
    otlp["endpoint"] = endpoint
    origins["metrics.otlp.endpoint"] = "environment (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT)"
    headers = _key_values(environ.get("OTEL_EXPORTER_OTLP_METRICS_HEADERS", ""))
    if headers and not otlp.get("headers"):
        otlp["headers"] = headers
        origins["metrics.otlp.headers"] = "environment (OTEL_EXPORTER_OTLP_METRICS_HEADERS)"


_VARIABLES = {"langfuse": "LANGFUSE_…", "langsmith": "LANGSMITH_…", "otlp": "OTEL_EXPORTER_OTLP_…"}


def _ecosystem_destinations(environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    def present(**values: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value}

    langfuse = present(
        public_key=environ.get("LANGFUSE_PUBLIC_KEY"),
        secret_key=environ.get("LANGFUSE_SECRET_KEY"),
        endpoint=environ.get("LANGFUSE_HOST") or environ.get("LANGFUSE_BASE_URL"),
    )
    langsmith = present(
        api_key=environ.get("LANGSMITH_API_KEY"),
        project=environ.get("LANGSMITH_PROJECT"),
        endpoint=environ.get("LANGSMITH_ENDPOINT"),
        workspace=environ.get("LANGSMITH_WORKSPACE_ID"),
    )
    otlp = present(
        endpoint=environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"),
        protocol=environ.get("OTEL_EXPORTER_OTLP_PROTOCOL"),
        headers=_key_values(environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
    )
    for kind, found in (("langfuse", langfuse), ("langsmith", langsmith), ("otlp", otlp)):
        if found and (kind != "otlp" or found.get("endpoint")):
            yield kind, found


def _key_values(text: str) -> dict[str, str]:
    """`a=b,c=d` as OpenTelemetry's variables write it, percent-decoded."""
    pairs = (item.partition("=") for item in text.split(",") if "=" in item)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs}


def _nest(path: list[str], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value  # type: ignore[no-any-return]


def _merge(
    into: dict[str, Any], new: Mapping[str, Any], origins: dict[str, str], origin: str, at: str = ""
) -> None:
    for name, value in new.items():
        path = f"{at}.{name}" if at else str(name)
        if isinstance(value, dict) and isinstance(into.get(name, {}), dict):
            _merge(into.setdefault(name, {}), value, origins, origin, path)
            continue
        into[name] = value
        origins[path] = origin


def _problem(item: Any, origins: Mapping[str, str]) -> str:
    path = ".".join(str(part) for part in item["loc"])
    text = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = "no such setting"
    elif item["type"] == "missing":
        text = "is required"
    origin = next((origins[p] for p in _ancestors(path) if p in origins), None)
    return f"{path or 'settings'}: {text}" + (f" (from {origin})" if origin else "")


def _ancestors(path: str) -> Iterator[str]:
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        yield ".".join(parts[:length])
