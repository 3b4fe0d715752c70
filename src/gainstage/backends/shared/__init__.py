"""Framework-free halves of the backends."""
