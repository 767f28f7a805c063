"""What a vendor counted: from any usage object, response body or stream to one count and, where given, its price."""

from exporter.vendor.usage.charges import charges
from exporter.vendor.usage.numbers import BadUsage
from exporter.vendor.usage.shapes import SHAPES, guess_shape, normalise
from exporter.vendor.usage.streams import StreamResult, StreamUsage, usage_of_body, usage_of_stream

__all__ = [
    "SHAPES",
    "BadUsage",
    "StreamResult",
    "StreamUsage",
    "charges",
    "guess_shape",
    "normalise",
    "usage_of_body",
    "usage_of_stream",
]
