"""Batches: one run of a flow for each row of a file, once.

``program`` is the way through: ``identity`` names the batch, ``preflight`` looks at every row, ``feed`` hands out the
rows of the chunks that this process claims, ``courier`` carries those of a flow that is one message, ``carrier`` those
of any other flow, ``tally`` and ``report`` say what came of them.
"""
