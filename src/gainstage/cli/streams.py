"""Standard output and error: any encoding, full disks, readers that go away, and what user code prints."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

__all__ = ["aside", "discard_output", "prepare_streams"]

_HANDLER = "gainstage.words"


def _in_words(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    from gainstage.report.wording import to_ascii

    return to_ascii(error.object[error.start : error.end]), error.end


def prepare_streams() -> None:
    """Let standard output and error take every character, and exist."""
    codecs.register_error(_HANDLER, _in_words)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors=_HANDLER)


def discard_output() -> None:
    """Lead standard output nowhere, so that nothing is written to it when the interpreter exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def aside() -> Iterator[None]:
    """Lead what user code and its processes print to standard error, so that results alone are on standard output."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        kept = _replaced(sys.__stdout__, sys.__stderr__)
        if kept is not None:
            stack.callback(_put_back, sys.__stdout__, kept)
        yield


def _replaced(out: IO[Any] | None, err: IO[Any] | None) -> int | None:
    """Point the file descriptor of one stream at that of another; a copy of what it was, or None."""
    try:
        assert out is not None
        assert err is not None
        out.flush()
        target, source = out.fileno(), err.fileno()
        if (target, source) != (1, 2):
            return None
        kept = os.dup(target)
        os.dup2(source, target)
    except (AssertionError, OSError, ValueError):
        return None
    return kept


def _put_back(out: IO[Any] | None, kept: int) -> None:
    if out is not None:
        with contextlib.suppress(OSError, ValueError):
            out.flush()
            os.dup2(kept, out.fileno())
    os.close(kept)
