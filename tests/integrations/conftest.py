"""Programs that the tests run in ways of their own."""

collect_ignore_glob = ["scripts/*"]
