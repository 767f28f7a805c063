"""Spans: an assessed trace becomes OTLP bytes, in the dialect of the destination that will read them.

Pure: the same trace gives the same bytes. Nothing here opens a connection or asks for the time.
"""
