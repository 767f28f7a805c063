"""The vendors' own sums over stretches of time, as `Bucket`s: one module per vendor, and one for exported files."""
