"""``gainstage`` and ``python -m gainstage``."""

from __future__ import annotations

from gainstage.cli.app import gainstage

__all__ = ["main"]


def main() -> None:
    """Run the command line; the exit code is 0 healthy, 1 findings, 2 could not run, 130 interrupted."""
    gainstage(prog_name="gainstage")


if __name__ == "__main__":
    main()
