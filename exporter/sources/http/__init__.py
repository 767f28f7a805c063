"""Asking Dify over HTTP: one request and its named failures, and the pace at which requests are made."""
