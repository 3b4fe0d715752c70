"""Patterns recognised in a graph: hand-written functions, residual branches, recurrences, packed weights, sums."""
