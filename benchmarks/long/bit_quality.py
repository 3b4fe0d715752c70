"""The random words of streams under dieharder (Robert G. Brown; a package of Debian), which must be installed.

    python benchmarks/long/bit_quality.py                  # every test, about an hour for each source
    python benchmarks/long/bit_quality.py --tests 0 2 15   # some; `dieharder -l` lists them
    python benchmarks/long/bit_quality.py --source streams

Two sources: the words of one stream, and the first 256 words of one stream after another, whose paths are those of a
network's layers. The second shows correlations between the streams of one model. Of a hundred good p-values one or two
are WEAK by dieharder's own bounds (below 0.005 or above 0.995); FAILED (below 1e-6) makes the command fail.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gainstage.streams import Stream
from gainstage.streams.philox import words

SOURCES = ("stream", "streams")
PIECE = 1 << 18
OF_EACH = 256


def pieces(source: str) -> Iterator[NDArray[np.uint32]]:
    """Yield the words of a source, without end."""
    if source == "stream":
        key = Stream(0, "blocks.0.weight").key
        for start in count(step=PIECE):
            yield words(key, start, PIECE)
    for layer in count():
        yield words(Stream(0, f"blocks.{layer}.weight").key, 0, OF_EACH)


def feed(pipe: IO[bytes], source: str) -> None:
    """Write words until the reader has had enough."""
    with suppress(BrokenPipeError):
        for piece in pieces(source):
            pipe.write(piece.astype("<u4").tobytes())


def judged(source: str, which: list[str]) -> list[str]:
    """Return the lines of dieharder that hold a p-value."""
    command = ["dieharder", "-g", "200", *which]
    tester = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert tester.stdin is not None
    assert tester.stdout is not None
    with ThreadPoolExecutor(1) as pool:
        pool.submit(feed, tester.stdin, source)
        lines = [line.decode().rstrip() for line in tester.stdout]
    with suppress(BrokenPipeError):
        tester.stdin.close()
    tester.wait()
    return [line for line in lines if line.endswith(("PASSED", "WEAK", "FAILED"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", choices=SOURCES, help="both where not given")
    parser.add_argument("--tests", nargs="+", metavar="NUMBER", help="all where not given")
    asked = parser.parse_args()
    if shutil.which("dieharder") is None:
        sys.exit("dieharder is not installed: apt-get install dieharder")
    failed = False
    for source in [asked.source] if asked.source else SOURCES:
        for which in [["-d", number] for number in asked.tests] if asked.tests else [["-a"]]:
            for line in judged(source, which):
                print(f"{source:8s} {line}", flush=True)
                failed |= line.endswith("FAILED")
    sys.exit(failed)


if __name__ == "__main__":
    main()
