"""Project names with places in them, such as `dify-{app}`: which names may stand there, and where which may.

Only checks and says what is there; filling in is done by who sends.
"""

from __future__ import annotations

import re

OF_TRACE = frozenset({"app", "app_id", "mode", "workspace"})
"""What differs from trace to trace."""
OF_INSTANCE = "instance"
"""The name of the Dify that is read (`dify.name`)."""

_PLACE = re.compile(r"\{(\w*)\}")


def places(template: str) -> frozenset[str]:
    """The names in the template's braces. Raises ValueError for a name that nothing can be put in for."""
    names = frozenset(_PLACE.findall(template))
    known = sorted(OF_TRACE | {OF_INSTANCE})
    wrong = sorted(names.difference(known))
    if wrong or re.search(r"[{}]", _PLACE.sub("", template)):
        shown = ", ".join(f"{{{name}}}" for name in wrong) or "a brace without its other half"
        raise ValueError(
            f"{shown} means nothing; {', '.join(f'{{{name}}}' for name in known)} may stand in it"
        )
    return names
