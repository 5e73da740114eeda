"""Batches: one run of a flow for each row of a file, once."""
