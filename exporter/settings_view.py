"""Effective settings for `config show`: every leaf with its value, origin and meaning; secrets masked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from exporter.config import Loaded, leaves, masked_url


def rows(loaded: Loaded) -> Iterator[tuple[str, Any, str, str]]:
    """(dotted path, printable value, origin, meaning) of every setting."""
    for path, field in leaves():
        value: Any = loaded.settings
        for name in path:
            value = value.schema_name if name == "schema" else getattr(value, name)
        dotted = ".".join(path)
        origin = next(
            (
                found
                for known, found in loaded.origins.items()
                if dotted == known or known.startswith(dotted + ".")
            ),
            "default",
        )
        yield dotted, _printable(value, dotted), origin, field.description or ""


def _printable(value: Any, path: str) -> Any:
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return masked_url(secret) if path.endswith("url") and secret else "********" if secret else ""
    if isinstance(value, BaseModel):
        return {name: _printable(getattr(value, name), name) for name in type(value).model_fields}
    if isinstance(value, list):
        return [_printable(item, path) for item in value]
    if isinstance(value, dict):
        return {name: _printable(item, str(name)) for name, item in value.items()}
    return value if isinstance(value, int | float | bool | str | None) else str(value)
