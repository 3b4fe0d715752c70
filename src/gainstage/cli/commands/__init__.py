"""One module a command; each holds its ``command`` and imports what it needs when it runs."""
