"""Vendor evidence: what a vendor or gateway says of its requests, and which requests belong to which call.

Adding an evidence format: one function in `adapters.py` that turns its objects into canonical records.
"""
