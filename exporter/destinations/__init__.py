"""Destinations: where spans go. One delivery loop for all; a destination renders, sends once, and can be asked."""
