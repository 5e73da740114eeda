"""Runs: the order of nodes, conditions, lists, retries, and what a failure does."""
