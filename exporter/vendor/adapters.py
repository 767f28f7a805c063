"""Where an evidence format is added: one function from a parsed JSON value of that format to canonical records.

An adapter yields nothing for entries that are no model requests, and yields what it cannot read as it is, so that
`record.parse` names the fault. It keeps no state and never looks at another entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Adapter = Callable[[object], Iterable[object]]


def generic(value: object) -> Iterable[object]:
    """The canonical record itself, or an array of them."""
    return value if isinstance(value, list) else (value,)


ADAPTERS: Mapping[str, Adapter] = {"generic": generic}
"""Every known `format` of a vendor source."""
