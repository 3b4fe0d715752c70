"""Models spread over real processes."""
