"""Comparing the three readings of a call: findings with amounts, and the verdict."""
