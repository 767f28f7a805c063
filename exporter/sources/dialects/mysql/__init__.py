"""Dify on MySQL, MariaDB and what speaks like them (Dify 1.10.1 and later).

Proven on MariaDB. Whole-second times, ids as CHAR(36), JSON as text; what is not granted is not even named.
"""

from exporter.sources.dialects.mysql.catalogue import read_catalogue, read_moment
from exporter.sources.dialects.mysql.clock import as_default_time, default_time
from exporter.sources.dialects.mysql.connecting import (
    EXAMPLE,
    SCHEMES,
    address,
    engine,
    other_engine,
)
from exporter.sources.dialects.mysql.failures import translated
from exporter.sources.dialects.mysql.queries import after, answers, column_grant, grants, new_role, one_of

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
