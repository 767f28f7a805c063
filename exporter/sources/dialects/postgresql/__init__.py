"""Dify on PostgreSQL, its default."""

from exporter.sources.dialects.postgresql.catalogue import read_catalogue, read_moment
from exporter.sources.dialects.postgresql.connecting import (
    EXAMPLE,
    SCHEMES,
    address,
    engine,
    other_engine,
)
from exporter.sources.dialects.postgresql.failures import translated
from exporter.sources.dialects.postgresql.queries import (
    after,
    answers,
    as_default_time,
    column_grant,
    default_time,
    grants,
    new_role,
    one_of,
)

__all__ = [
    "EXAMPLE",
    "SCHEMES",
    "address",
    "after",
    "answers",
    "as_default_time",
    "column_grant",
    "default_time",
    "engine",
    "grants",
    "new_role",
    "one_of",
    "other_engine",
    "read_catalogue",
    "read_moment",
    "translated",
]
