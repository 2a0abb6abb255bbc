"""Requests on local disk while the log cannot take them. Put here: the files, their bound, reading them in order. Keep out: Redis,
when to spool (api/edge/spooling.py).

A spool is a folder that one process holds a lock on, with segments `00000001.log`, … of records: length, CRC-32, bytes. A record
was kept once `write` has returned: it is on disk then. Segments go when all they hold was taken over; who takes over a spool whose
process died begins with the oldest that is left, so the log must know what it has had already (see `event_log.pack`).
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from domain.errors import TransientFailure

log = logging.getLogger(__name__)
SEGMENT_BYTES = 16 * 1024 * 1024
_HEAD = struct.Struct(">II")
_LOCK = "lock"
_PAGE = 4 * 1024 * 1024


class SpoolFull(TransientFailure):
    """There is no more room for requests on local disk, so none can be promised."""

    code = "SPOOL_FULL"


@dataclass(frozen=True, slots=True)
class Place:
    """Where reading goes on: a segment and an offset in it."""

    segment: int
    offset: int


class Spool:
    """One process' folder of kept requests, whose lock it holds. Not for several threads at once.

    waiting: records not yet taken over. limit: bytes it may have on disk.
    """

    def __init__(self, folder: Path, lock: int, *, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._lock = lock
        found = sorted(int(file.stem) for file in folder.glob("*.log"))
        self._sizes = {number: self._file(number).stat().st_size for number in found}
        self._place = Place(found[0] if found else 1, 0)
        self._writing: BinaryIO | None = None
        self.waiting = self._count()

    @property
    def id(self) -> str:
        """Its name, unlike that of any other spool."""
        return self.folder.name

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self._sizes.values())

    def write(self, records: Sequence[bytes]) -> None:
        """Keep these, all or none; on disk when it returns. Raises SpoolFull, also where the disk is full or broken."""
        framed = b"".join(_HEAD.pack(len(each), zlib.crc32(each)) + each for each in records)
        if self.size + len(framed) > self.limit:
            raise SpoolFull(f"{self.size} of {self.limit} bytes wait on local disk for the log; try again.")
        try:
            file = self._open_segment()
            _write_all(file, framed)
            os.fdatasync(file.fileno())
        except OSError as error:
            self._undo()
            raise SpoolFull(f"Local disk takes no more requests ({error.strerror}); try again.") from error
        self._sizes[max(self._sizes)] += len(framed)
        self.waiting += len(records)

    def read(self, size: int, after: Place | None = None) -> tuple[list[bytes], Place]:
        """The oldest records not yet taken over (or after a place), at least one and no more than `size` bytes, and the place behind
        them. What was cut short by the death of its writer was never acknowledged, and is passed by."""
        found: list[bytes] = []
        held, place = 0, after or self._place
        for number in sorted(self._sizes):
            if number < place.segment:
                continue
            offset = place.offset if number == place.segment else 0
            with self._file(number).open("rb") as file:
                file.seek(offset)
                while (record := _record(file, self._sizes[number] - offset)) is not None:
                    held += len(record)
                    if found and held > size:
                        return found, place
                    found.append(record)
                    offset += _HEAD.size + len(record)
                    place = Place(number, offset)
            if offset < self._sizes[number]:
                log.warning("%s: %d bytes were cut short", self._file(number), self._sizes[number] - offset)
        return found, place

    def took_over(self, count: int, place: Place) -> None:
        """The `count` oldest records, up to `place`, are in the log; files that hold nothing else go."""
        self._place = place
        self.waiting -= count
        if self.waiting == 0:
            self._stop_writing()
        for number in list(self._sizes):
            if number < place.segment or self.waiting == 0:
                self._file(number).unlink(missing_ok=True)
                del self._sizes[number]
        if self.waiting == 0:
            self._place = Place(place.segment + 1, 0)

    def close(self) -> None:
        """Let go of it; nothing is left of an empty one."""
        self._stop_writing()
        if self.waiting == 0:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def _count(self) -> int:
        count, place = 0, self._place
        while True:
            found, place = self.read(_PAGE, place)
            if not found:
                return count
            count += len(found)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08}.log"

    def _open_segment(self) -> BinaryIO:
        if self._writing is not None and self._sizes[max(self._sizes)] < SEGMENT_BYTES:
            return self._writing
        self._stop_writing()
        number = max([self._place.segment, *(each + 1 for each in self._sizes)])
        descriptor = os.open(self._file(number), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._writing = os.fdopen(descriptor, "wb", buffering=0)
        self._sizes[number] = 0
        _sync_folder(self.folder)
        return self._writing

    def _undo(self) -> None:
        """Take back what was half written; where even that fails, nothing more is written behind it."""
        if self._writing is None:
            return
        try:
            good = self._sizes[max(self._sizes)]
            os.ftruncate(self._writing.fileno(), good)
            self._writing.seek(good)
        except OSError:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._writing.close()
            self._writing = None


def begin(home: Path, *, limit: int) -> Spool:
    """A new spool below `home`, locked. Raises OSError."""
    folder = home / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _sync_folder(home)
    return Spool(folder, lock, limit=limit)


def adopt(home: Path, *, limit: int) -> Iterator[Spool]:
    """The spools below `home` that nobody holds, oldest first: their processes died or ended. They are only to be emptied."""
    for folder in sorted(home.glob("*/"), key=lambda each: each.stat().st_mtime):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR)
        except OSError:
            continue  # being made, or just removed
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            continue
        yield Spool(folder, lock, limit=limit)


def _record(file: BinaryIO, left: int) -> bytes | None:
    """The next record of a segment with `left` good bytes from where reading began; None: there is none, or only half of one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    if length > left:
        return None
    record = file.read(length)
    return record if len(record) == length and zlib.crc32(record) == checksum else None


def _write_all(file: BinaryIO, content: bytes) -> None:
    """An unbuffered file may take a part only."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
