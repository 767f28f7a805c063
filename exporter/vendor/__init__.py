"""Vendor evidence: what a vendor or gateway says of its requests, and which requests belong to which call.

push and pullers bring entries, adapters turn them into canonical records, `record` keeps what is kept of one (usage counts
it, asked and hidden look into its body, fingerprint replaces its texts), matching finds its call, `reading` sums a call's.
Adding an evidence format: one module in adapters. Adding a place to fetch from: one module in pullers.
"""
