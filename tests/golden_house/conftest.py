"""Nothing here is a test: ``make golden`` runs it, as long as the code is being moved."""

collect_ignore_glob = ["*"]
