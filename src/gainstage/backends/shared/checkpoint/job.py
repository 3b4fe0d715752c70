"""Writes a checkpoint so that nothing half-written has a final name, and so that a killed process can go on.

All files grow in a hidden folder beside their destination, from front to back. Every quarter of a gigabyte the data
are forced to the disk, then a small file says how far they reach. A later process with the same job goes on there. When
everything is written, the files move to their final names: the data first, and last the one file that a reader opens
first.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gainstage.backends.shared.checkpoint.format import File, Stored, index_text
from gainstage.errors import InputError

__all__ = ["Contents", "Job", "OnProgress"]

Contents = Callable[[Stored, int], Iterator[memoryview]]
"""The bytes of a tensor from a given byte on, piece by piece."""

OnProgress = Callable[[str, int, int], None]
"""Called with what is being written, the bytes written so far, and all bytes."""

_DURABLE = 1 << 28  # bytes between two points from which a killed process can go on
_SPARE = 1 << 20  # bytes that the file system itself may need


@dataclass(frozen=True, slots=True)
class Job:
    """A checkpoint to be written.

    Args:
        folder: where its files go.
        stem: of their names.
        files: with tensors.
        beside: texts of other files, by name (``config.json``).
        mark: of the values: equal marks mean equal bytes, so that another process may go on.
    """

    folder: Path
    stem: str
    files: tuple[File, ...]
    beside: Mapping[str, str]
    mark: str

    @property
    def texts(self) -> dict[str, str]:
        """The files that are no tensors; the index, where there is one, comes last."""
        index = {f"{self.stem}.safetensors.index.json": index_text(self.files)} if len(self.files) > 1 else {}
        return {**self.beside, **index}

    @property
    def unfinished(self) -> Path:
        """The folder in which the files grow."""
        return self.folder / f".{self.stem}.unfinished"

    def carry_out(self, contents: Contents, on_progress: OnProgress) -> tuple[Path, ...]:
        """Writes everything, from where an earlier process with the same job stopped.

        Args:
            contents: the bytes of every tensor.
            on_progress: called before every tensor and at the end.

        Returns:
            the paths of all files, in the order in which they took their final names.

        Raises:
            InputError: a file of that name exists, the disk is too small or full, the folder cannot be written, or
                another process is writing the same checkpoint.
        """
        with self._refusals(), self._alone():
            file, reached = self._progress()
            self._refuse_taken(moving=file == len(self.files))
            self._require_room(file, reached)
            total = sum(tensor.size for each in self.files for tensor in each.tensors)
            for number in range(file, len(self.files)):
                self._write(number, reached if number == file else 0, contents, on_progress, total)
            on_progress("moving the files to their names", total, total)
            return self._move()

    # -- before the first byte ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the folder of unfinished files; the system lets go of it even if the process is killed."""
        self.unfinished.mkdir(exist_ok=True)
        with open(self.unfinished / "lock", "wb") as lock:
            _hold(lock, self.unfinished)
            try:
                yield
            finally:
                if not (self.unfinished / "job.json").exists():
                    shutil.rmtree(self.unfinished)

    def _progress(self) -> tuple[int, int]:
        """The number of the file that is under way, and how many of its bytes are safe; an older job is forgotten."""
        described = json.dumps(
            {"mark": self.mark, "files": [[each.name, each.size] for each in self.files], "texts": self.texts}
        )
        with contextlib.suppress(OSError, ValueError, KeyError):
            if (self.unfinished / "job.json").read_text(encoding="utf-8") == described:
                found = json.loads((self.unfinished / "progress.json").read_text(encoding="utf-8"))
                return found["file"], found["bytes"]
        for old in self.unfinished.iterdir():
            if old.name != "lock":
                old.unlink()
        self._note(0, 0)
        _replace(self.unfinished / "job.json", described)
        return 0, 0

    def _note(self, file: int, reached: int) -> None:
        _replace(self.unfinished / "progress.json", json.dumps({"file": file, "bytes": reached}))

    def _refuse_taken(self, *, moving: bool) -> None:
        """Refuses to stand beside files that a reader could take for these."""
        single, index = f"{self.stem}.safetensors", f"{self.stem}.safetensors.index.json"
        ours = {name for name in self._names if moving and not (self.unfinished / name).exists()}
        for name in {single, index, *self._names} - ours:
            path = self.folder / name
            same = name in self.beside and path.is_file() and path.read_text(encoding="utf-8") == self.beside[name]
            if path.exists() and not same:
                self._forget()
                raise InputError(
                    f"'{path}' exists, and would be read instead of, or together with, what is about to be written. "
                    "Remove it, or name another folder."
                )

    @property
    def _names(self) -> tuple[str, ...]:
        return (*(file.name for file in self.files), *self.texts)

    def _forget(self) -> None:
        """Leaves no trace of a job that has not written anything."""
        if not any((self.unfinished / file.name).exists() for file in self.files):
            for name in ("job.json", "progress.json"):
                (self.unfinished / name).unlink(missing_ok=True)

    def _require_room(self, file: int, reached: int) -> None:
        needed = sum(each.size for each in self.files[file:]) - reached
        free = shutil.disk_usage(self.folder).free
        if needed + _SPARE > free:
            self._forget()
            raise InputError(
                f"The weights need {_gigabytes(needed)} and '{self.folder}' has {_gigabytes(free)} left. Free some, "
                "or name a folder on another disk."
            )

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Says what an error of the file system means for what was written."""
        try:
            yield
        except OSError as error:
            kept = (
                f" What was written stays in '{self.unfinished}': the same call goes on from there; remove the folder "
                "to give up."
                if (self.unfinished / "job.json").exists()
                else ""
            )
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = "the disk is full" if full else error.strerror or str(error)
            raise InputError(f"The weights cannot be written to '{self.folder}': {reason}.{kept}") from error

    # -- the data -----------------------------------------------------------------------------------------------------

    def _write(self, number: int, reached: int, contents: Contents, on_progress: OnProgress, total: int) -> None:
        """Writes one file from a byte on, and notes from time to time how far it is safe."""
        file = self.files[number]
        done = sum(tensor.size for each in self.files[:number] for tensor in each.tensors)
        path = self.unfinished / file.name
        with open(path, "r+b" if path.exists() else "w+b") as data:
            reached = min(reached, os.fstat(data.fileno()).st_size)
            data.truncate(reached)
            data.seek(reached)
            safe = place = reached

            def put(piece: memoryview | bytes) -> None:
                nonlocal place, safe
                data.write(piece)
                place += len(piece)
                if place - safe >= _DURABLE:
                    _flush(data)
                    self._note(number, place)
                    safe = place

            header = file.header
            if place < len(header):
                put(header[place:])
            start = len(header)
            for tensor in file.tensors:
                on_progress(tensor.name, done, total)
                if place < start + tensor.size:
                    for piece in contents(tensor, place - start):
                        put(piece)
                start += tensor.size
                done += tensor.size
            _flush(data)
        self._note(number + 1, 0)

    def _move(self) -> tuple[Path, ...]:
        """Gives all files their final names, each at once; what an earlier process moved stays."""
        for name, text in self.texts.items():
            _replace(self.unfinished / name, text)
        last = (
            self.files[0].name if len(self.files) == 1 else ""
        )  # a reader looks for it before it looks for the others
        names = [name for name in self._names if name != last]
        names += [last] if last else []
        for name in names:
            if (self.unfinished / name).exists():
                os.replace(self.unfinished / name, self.folder / name)
        _flush_folder(self.folder)
        for name in ("job.json", "progress.json"):
            (self.unfinished / name).unlink()
        return tuple(self.folder / name for name in names)


def _hold(lock: BinaryIO, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # a system without such locks
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            return  # a file system without locks
        raise InputError(f"Another process is writing the same checkpoint (it holds '{folder}').") from error


def _flush(data: Any) -> None:
    data.flush()
    os.fsync(data.fileno())


def _flush_folder(folder: Path) -> None:
    """Makes new names durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _replace(path: Path, text: str) -> None:
    """Writes a small file at once: a reader sees the old one or the new one."""
    fresh = path.with_name(f"{path.name}.new")
    with open(fresh, "w", encoding="utf-8") as file:
        file.write(text)
        _flush(file)
    os.replace(fresh, path)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 10**7 else f"{size / 1e6:.2f} MB"
