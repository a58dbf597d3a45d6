"""Learned prices: a network over applications as a set predicts the dual prices of the column program."""
