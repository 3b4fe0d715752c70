"""Recurrent layers: moments over time in the mean field limit."""
