"""One key for a model that Dify, a gateway and a bill each spell in their own way."""

from __future__ import annotations

import re
from functools import lru_cache

from exporter.local.names import bare

_EDITION = re.compile(r"(?:-v\d+(?::\d+)?|[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|latest))+$")


@lru_cache(maxsize=4096)
def same_model_key(model: str) -> str:
    """The name without what hosts put around it and without its edition: `gpt-5-mini-2025-08-07` and `openai/gpt-5-mini` are
    both `gpt-5-mini`. Two editions of one model become one: a bill that keeps them apart is added up."""
    name = bare(model)
    return _EDITION.sub("", name) or name
