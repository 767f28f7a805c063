"""What every section of the settings has in common: nothing unknown is taken, nothing changes, no value gets into an error."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, SecretStr


class Section(BaseModel):
    """One section of the tree."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def is_set(value: object) -> bool:
    """Whether a setting has a value; a secret may be there and be empty."""
    return bool(value.get_secret_value()) if isinstance(value, SecretStr) else bool(value)
