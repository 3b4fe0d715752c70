"""Backward rules, operation by operation."""
