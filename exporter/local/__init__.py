"""The local reading: what a tokenizer on this machine counts for a call, and how far that count can be trusted.

Needs nothing but the recorded call: no network, no clock, no state. To add a model family, add a row to `families`;
to add a vocabulary, add an entry to `vocabulary.LOADERS`; to add a prompt format, add a `Template` to `chat`.
"""
