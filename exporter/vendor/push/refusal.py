"""Why a whole body is not taken. The texts say what is wrong and what to do, and never repeat content."""

from __future__ import annotations


class BadBody(ValueError):
    """The body cannot be read as what it should be."""


class TooMuch(BadBody):
    """The body holds more than is taken at once; sent in parts it would be."""


class TooLarge(TooMuch):
    """The body is larger than the operator allows."""


class UnknownCoding(BadBody):
    """The body is compressed in a way that is not understood here."""
