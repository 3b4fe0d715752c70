"""Writing: plans become weights, files and code."""
