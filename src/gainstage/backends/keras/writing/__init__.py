"""Writing: plans become weights and files."""
