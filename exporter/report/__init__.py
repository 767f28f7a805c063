"""Reconciliation: for a window of time, the three readings by app, model, key and day, the difference taken apart by cause,
the rest that nobody can explain, and the vendor's own bill beside it.

gather (ledger sums, lone requests, foreign traffic, vendor buckets) → table (rows, waterfall) and bill → document → text,
CSV, HTML. Everything here only reads the state file.
"""
