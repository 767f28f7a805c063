"""The settings: one typed tree that file, environment and flags map onto, validated whole.

`load()` returns the tree with the origin of every value, or raises `Misconfigured` with all problems at once.
Order of precedence: flags, then environment, then file, then defaults. Secrets are `SecretStr` and print masked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from exporter.errors import Misconfigured

PREFIX = "DIFY_EXPORTER_"
DEFAULT_FILE = "dify-exporter.yaml"

_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$")
_DURATION_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)?\s*$")
_SIZE_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _seconds(value: object) -> object:
    match = _DURATION.match(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("expected a duration such as 500ms, 30s, 15m, 12h or 7d")
    return float(match[1]) * _DURATION_UNITS[match[2] or "s"]


def _bytes(value: object) -> object:
    match = _SIZE.match(str(value))
    if not match or isinstance(value, bool):
        raise ValueError("expected a size such as 512MiB or 2GiB")
    return int(float(match[1]) * _SIZE_UNITS[match[2] or "B"])


def _when(value: object) -> object:
    if value in ("beginning", "now") or isinstance(value, datetime):
        return value
    try:
        return parse_time(str(value))
    except ValueError:
        raise ValueError("expected 'beginning', 'now' or a time such as 2026-11-23T19:00:00Z") from None


def parse_time(text: str) -> datetime:
    """An aware UTC datetime from ISO 8601 text; a time without an offset is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Seconds = Annotated[float, BeforeValidator(_seconds)]
ByteSize = Annotated[int, BeforeValidator(_bytes)]
StartTime = Annotated[Literal["beginning", "now"] | datetime, BeforeValidator(_when)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DatabaseSettings(_Section):
    """Dify's own database; only ever read."""

    url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:5432/dify (DIFY_DATABASE_URL)"
    )
    schema_name: str = Field("public", alias="schema", description="schema that holds Dify's tables")
    statement_timeout: Seconds = Field(30.0, description="a query that takes longer is cancelled")
    connect_timeout: Seconds = Field(10.0, description="time to wait for a connection")

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, populate_by_name=True)


class Filter(_Section):
    """Names or ids; an empty list means no restriction."""

    workspaces: list[str] = []
    apps: list[str] = []
    modes: list[str] = []


class DifySettings(_Section):
    """The source."""

    name: str = Field("dify", description="name of this Dify instance in spans and reports")
    database: DatabaseSettings = DatabaseSettings()  # type: ignore[call-arg]
    start: StartTime = Field("beginning", description="where the first run begins: beginning, now, or a time")
    poll_interval: Seconds = Field(5.0, description="pause between looks for new rows")
    overlap: Seconds = Field(
        900.0, description="how far behind the newest row is looked again for rows committed late"
    )
    sweep_interval: Seconds = Field(60.0, description="how often that overlap is read again")
    page_size: int = Field(200, ge=1, le=5000, description="traces read from Dify at a time")
    page_bytes: ByteSize = Field(16 * 2**20, description="text read from Dify at a time")
    unfinished_after: Seconds = Field(
        3600.0, description="a running row older than this is exported as unfinished"
    )
    paused_after: Seconds = Field(7 * 86400.0, description="the same for runs that wait for human input")
    watch_unfinished: Seconds = Field(
        30 * 86400.0, description="how long an unfinished row is looked at again"
    )
    debug_runs: bool = Field(True, description="export runs made in Dify's editor (tagged debug)")
    include: Filter = Filter()
    exclude: Filter = Filter()


class VendorSettings(_Section):
    """One source of vendor evidence."""

    kind: Literal["file"]
    path: Path = Field(description="JSON, JSON array or JSON Lines file of vendor calls; .gz is read too")
    format: Literal["generic"] = "generic"
    name: str | None = Field(None, description="source name in readings; default: the file's name")


class ContentSettings(_Section):
    """How much prompt and answer text leaves the building."""

    mode: Literal["full", "redacted", "none"] = "full"
    patterns: list[str] = Field(
        default=[
            r"(?i)\b(?:sk|pk|rk|app|ghp|xox[abp])-[A-Za-z0-9_-]{12,}",
            r"(?i)\bbearer\s+[A-Za-z0-9._~+/-]{12,}=*",
            r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
            r"(?<!\d)(?:\+?\d[\s-]?){11,15}(?!\d)",
        ],
        description="regular expressions replaced by [redacted] in mode redacted",
    )
    max_chars: int = Field(200_000, ge=1000, description="a longer text is cut in spans (never in counts)")

    @model_validator(mode="after")
    def _patterns_compile(self) -> ContentSettings:
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from None
        return self


class DestinationSettings(_Section):
    """One place that traces are sent to."""

    kind: Literal["langfuse", "langsmith", "otlp"]
    name: str = ""
    endpoint: str = Field("", description="base address; default: the platform's own cloud")
    public_key: str = Field("", description="langfuse")
    secret_key: SecretStr = Field(SecretStr(""), description="langfuse")
    api_key: SecretStr = Field(SecretStr(""), description="langsmith")
    project: str = Field("default", description="langsmith project")
    workspace: str = Field("", description="langsmith workspace id, for keys of an organisation")
    headers: dict[str, SecretStr] = Field(default={}, description="extra request headers")
    content: ContentSettings | None = Field(None, description="overrides the global content section")
    timeout: Seconds = Field(30.0, description="time to wait for an answer")
    max_spans: int = Field(500, ge=1, description="spans in one request")
    max_bytes: ByteSize = Field(4 * 2**20, description="uncompressed bytes in one request")
    requests_per_second: float = Field(0.0, ge=0, description="0 = the platform's known limit")
    confirm: Literal["auto", "read_back", "age", "at_once"] = Field(
        "auto", description="when an acknowledged trace may be forgotten"
    )
    confirm_after: Seconds = Field(10.0, description="wait before reading back")
    keep_acked: Seconds = Field(
        86400.0, description="how long acknowledged traces are kept when they cannot be read back"
    )

    @model_validator(mode="after")
    def _complete(self) -> DestinationSettings:
        if not self.name:
            object.__setattr__(self, "name", self.kind)
        if self.endpoint and not re.match(r"^https?://[^\s/]+", self.endpoint):
            raise ValueError("endpoint must start with http:// or https:// and name a host")
        if self.kind == "langfuse" and not (self.public_key and self.secret_key.get_secret_value()):
            raise ValueError(
                "langfuse needs public_key and secret_key (LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY)"
            )
        if self.kind == "langsmith" and not self.api_key.get_secret_value():
            raise ValueError("langsmith needs api_key (LANGSMITH_API_KEY)")
        if self.kind == "otlp" and not self.endpoint:
            raise ValueError("otlp needs endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)")
        return self


class CompareSettings(_Section):
    """When a difference counts as one."""

    tolerance_percent: float = Field(
        5.0, ge=0, description="an unexplained rest up to this share is within tolerance"
    )
    settle: Seconds = Field(60.0, description="a finished trace waits this long for vendor evidence")
    match_skew: Seconds = Field(2.0, description="clock difference allowed between Dify and the evidence")


class StateSettings(_Section):
    """Our own durable state."""

    path: Path = Field(Path("dify-exporter.db"), description="SQLite file; also its -wal and -shm neighbours")
    max_backlog: ByteSize = Field(2 * 2**30, description="unsent bytes at which reading Dify stops")
    min_free_disk: ByteSize = Field(256 * 2**20, description="free disk at which reading Dify stops")
    keep: Seconds = Field(400 * 86400.0, description="how long the ledger remembers finished traces")


class WebSettings(_Section):
    """Our own pages and metrics."""

    host: str = "127.0.0.1"
    port: int = Field(9464, ge=0, le=65535)
    top_apps: int = Field(50, ge=1, description="apps with their own metric label; the rest is 'other'")
    top_models: int = Field(100, ge=1, description="models with their own metric label; the rest is 'other'")


class LogSettings(_Section):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON"
    )


class Settings(_Section):
    """Everything that can be set."""

    dify: DifySettings = DifySettings()  # type: ignore[call-arg]
    vendor: list[VendorSettings] = []
    compare: CompareSettings = CompareSettings()  # type: ignore[call-arg]
    destinations: list[DestinationSettings] = []
    resource: dict[str, str] = Field(
        default={}, description="extra resource attributes (OTEL_RESOURCE_ATTRIBUTES)"
    )
    content: ContentSettings = ContentSettings()  # type: ignore[call-arg]
    state: StateSettings = StateSettings()  # type: ignore[call-arg]
    web: WebSettings = WebSettings()  # type: ignore[call-arg]
    log: LogSettings = LogSettings()  # type: ignore[call-arg]

    @model_validator(mode="after")
    def _unique_names(self) -> Settings:
        names = [destination.name for destination in self.destinations]
        for name in sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two destinations are named {name!r}; give each its own name")
        return self


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
        if not variable.startswith(PREFIX) or variable == PREFIX + "CONFIG":
            continue
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
        headers=_key_values(environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")),
    )
    for kind, found in (("langfuse", langfuse), ("langsmith", langsmith), ("otlp", otlp)):
        if found and (kind != "otlp" or found.get("endpoint")):
            yield kind, found


def _key_values(text: str) -> dict[str, str]:
    """`a=b,c=d` as OpenTelemetry's variables write it, percent-decoded."""
    from urllib.parse import unquote

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


def masked_url(url: str) -> str:
    """A database address fit for logs: user, password and options are left out."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host = parts.hostname or "local socket"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable address)"
    return f"{parts.scheme}://{host}{port}{parts.path}"
