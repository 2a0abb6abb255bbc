"""Requests on local disk: kept once written, read in order, bounded, found again."""

from __future__ import annotations

import random
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage import spool
from storage.spool import Spool, SpoolFull

LIMIT = 10_000_000


def drained(one: Spool, size: int = 1000) -> list[bytes]:
    found: list[bytes] = []
    while one.waiting:
        records, place = one.read(size)
        found += records
        one.took_over(len(records), place)
    return found


def test_records_come_back_in_order_and_leave_no_files(tmp_path: Path) -> None:
    one = spool.begin(tmp_path, limit=LIMIT)
    one.write([b"a", b"b" * 5000])
    one.write([b"c"])
    assert one.waiting == 3
    assert drained(one) == [b"a", b"b" * 5000, b"c"]
    assert one.size == 0 and not list(one.folder.glob("*.log"))
    one.write([b"d"])
    assert drained(one) == [b"d"]
    one.close()
    assert not one.folder.exists()


def test_any_mix_of_writing_and_reading_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 300)
    dice = random.Random(7)
    one = spool.begin(tmp_path, limit=LIMIT)
    sent: list[bytes] = []
    found: list[bytes] = []
    for _ in range(300):
        if dice.random() < 0.6:
            batch = [dice.randbytes(dice.randrange(90)) for _ in range(dice.randrange(1, 5))]
            one.write(batch)
            sent += batch
        elif one.waiting:
            records, place = one.read(dice.randrange(200))
            found += records
            one.took_over(len(records), place)
    assert found + drained(one) == sent


def test_a_process_that_died_leaves_its_spool_to_the_next_one(tmp_path: Path) -> None:
    left = spool.begin(tmp_path, limit=LIMIT)
    left.write([b"a", b"b"])
    assert list(spool.adopt(tmp_path, limit=LIMIT)) == [], "its owner lives"
    left.close()
    with left.folder.joinpath("00000001.log").open("ab") as file:
        file.write(b"\0\0\0\x09half")
    [found] = spool.adopt(tmp_path, limit=LIMIT)
    assert (found.id, found.waiting) == (left.id, 2)
    assert drained(found) == [b"a", b"b"]
    found.close()
    assert list(tmp_path.iterdir()) == []


def test_more_than_the_limit_is_refused_as_a_whole(tmp_path: Path) -> None:
    one = spool.begin(tmp_path, limit=100)
    one.write([b"a" * 50])
    with pytest.raises(SpoolFull):
        one.write([b"b", b"c" * 50])
    assert drained(one) == [b"a" * 50]


def test_a_full_disk_refuses_and_keeps_what_was_kept(tmp_path: Path) -> None:
    one = spool.begin(tmp_path, limit=LIMIT)
    with files_of_at_most(1000):
        one.write([b"a" * 500])
        with pytest.raises(SpoolFull):
            one.write([b"b" * 800])
        one.write([b"c" * 100])
    assert drained(one) == [b"a" * 500, b"c" * 100]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    one = spool.begin(tmp_path / "spool", limit=LIMIT)
    one.write([b"a"])
    assert one.folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in one.folder.iterdir()} == {0o600}
