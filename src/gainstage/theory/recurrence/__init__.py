"""Recurrent layers: stationary moments over time."""
