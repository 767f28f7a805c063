"""What is asked: a built-in set in English, Chinese, code and emoji of growing length, or the operator's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from exporter.errors import Misconfigured

_ANSWER_EN = "Answer with the one word: received."
_ANSWER_ZH = "只回答两个字：收到。"
_ENGLISH = (
    "The delivery note lists forty-two crates of bottled water, nine pallets of copy paper and a single desk lamp. "
    "The driver signed for all of them at a quarter past nine, although the lamp's box was visibly dented. "
)
_CHINESE = "送货单上列出了四十二箱瓶装水、九托盘复印纸和一盏台灯。司机在九点一刻全部签收，尽管台灯的包装盒明显有凹痕。"
_CODE = (
    "def settle(ledger: dict[str, int], fee_pct: float = 0.25) -> int:\n"
    "    total = sum(amount for name, amount in ledger.items() if not name.startswith('_'))\n"
    "    return round(total * (1 - fee_pct / 100))\n"
)
_EMOJI = "📦✅🚚 x42 · 📄×9 · 💡⚠️ — 👩‍💼👍🏽 Straße, naïve café, Ωmega ≠ ∞ 🇨🇳🇩🇪\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question. `kind` groups prompts that a tokenizer treats alike."""

    name: str
    kind: str
    text: str


BUILT_IN = tuple(
    Prompt(f"{kind} {size}", kind, f"{passage * times}\n{answer}")
    for kind, passage, answer in (
        ("english", _ENGLISH, _ANSWER_EN),
        ("chinese", _CHINESE, _ANSWER_ZH),
        ("code", _CODE, _ANSWER_EN),
        ("emoji", _EMOJI, _ANSWER_EN),
    )
    for size, times in (("short", 1), ("medium", 4), ("long", 16))
)


def read_prompts(path: Path | None) -> tuple[Prompt, ...]:
    """The built-in set, or what a file holds: YAML or JSON with a list of texts or of {name, kind, text}, else a prompt a line.
    Raises Misconfigured."""
    if path is None:
        return BUILT_IN
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured([f"--prompts: {path} cannot be read ({type(error).__name__})"]) from None
    items: list[Any] = _parsed(text, path) if path.suffix in (".yaml", ".yml", ".json") else text.splitlines()
    found = tuple(
        _prompt(item, number, path)
        for number, item in enumerate(items, 1)
        if not isinstance(item, str) or item.strip()
    )
    if not found:
        raise Misconfigured([f"--prompts: {path} holds no prompt"])
    if len({item.name for item in found}) < len(found):
        raise Misconfigured([f"--prompts: two prompts of {path} have the same name"])
    return found


def _parsed(text: str, path: Path) -> list[Any]:
    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError:
        raise Misconfigured([f"--prompts: {path} is not YAML"]) from None
    if not isinstance(items, list):
        raise Misconfigured([f"--prompts: {path} must hold a list"])
    return items


def _prompt(item: Any, number: int, path: Path) -> Prompt:
    if isinstance(item, str):
        return Prompt(f"prompt {number}", "own", item)
    if not isinstance(item, dict) or not isinstance(item.get("text"), str) or not item["text"].strip():
        raise Misconfigured([f"--prompts: entry {number} of {path} has no text"])
    return Prompt(str(item.get("name") or f"prompt {number}"), str(item.get("kind") or "own"), item["text"])
