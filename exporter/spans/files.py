"""Files in texts by name, type and size only: no signed address, no storage key, no base64.

Dify writes a file variable as an object with `dify_model_identity`; its `url` opens the file for whoever has it. A file
may also stand in a text as a `data:` address.
"""

from __future__ import annotations

import json
import re
from typing import Any

from exporter.spans.structured import is_structured
from exporter.spans.text import clean

_IDENTITY = "dify_model_identity"
_FILE = "__dify__file__"
_KEPT = ("type", "filename", "mime_type", "size")
_BASE64 = ";base64,"
_DATA = re.compile(r"data:([\w.+-]{1,64}/[\w.+-]{1,100})(?:;[\w.=+-]{1,100}){0,4};base64,([A-Za-z0-9+/=_-]*)")


def without_files(text: str) -> str:
    """`text` with every file told by name, type and size; the same text when it holds none."""
    if _BASE64 in text:
        text = _DATA.sub(_told, text)
    if _FILE in text and is_structured(text):
        return clean(json.dumps(_reduced(json.loads(text)), ensure_ascii=False, separators=(",", ":")))
    return text


def _told(found: re.Match[str]) -> str:
    kind, data = found.groups()
    size = len(data.rstrip("=")) * 3 // 4
    return f"[{kind}, {size} bytes]"


def _reduced(value: Any) -> Any:
    if isinstance(value, list):
        return [_reduced(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get(_IDENTITY) == _FILE:
        return {name: value[name] for name in _KEPT if value.get(name) is not None}
    return {name: _reduced(item) for name, item in value.items()}
