"""Rows as Parquet files in a Delta table's folder, written by Polars. Put here: the files, and what the table's log is told of
them. Keep out: committing them (lake.py); buckets, where Delta's own writer does both.

Polars writes a frame about five times as fast as Delta's writer. A file that nobody commits exists for no reader; the nightly
maintenance removes it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import polars as pl
from deltalake.transaction import AddAction

COMMIT = "aforo.commit"
"""Names the commit in the table's log."""
ROW_GROUP = 50_000
"""Rows that readers take or leave together, by their bounds."""


@dataclass
class Files:
    """New files in a table's folder, to be added by one commit. id: what the commit is told apart by."""

    folder: Path
    id: str = field(default_factory=lambda: str(uuid4()))
    _written: list[tuple[Path, dict[str, str]]] = field(default_factory=list)

    def write(self, frame: pl.DataFrame, partition_by: Sequence[str]) -> list[AddAction]:
        """One file for each partition, on disk for good; the actions that would add them. No rows: no files."""
        if frame.is_empty():
            return []
        before = len(self._written)
        actions = [
            self._write(part, dict(zip(partition_by, map(str, values), strict=True)))
            for values, part in _parts(frame, partition_by)
        ]
        files = [file for file, _ in self._written[before:]]
        for path in (*files, *{file.parent for file in files}, self.folder):
            sync(path)
        return actions

    def scan(self) -> pl.LazyFrame | None:
        """The rows written so far, committed or not; None: there are none."""
        if not self._written:
            return None
        by = {key: pl.String for _, partition in self._written for key in partition}
        files = [file for file, _ in self._written]
        return pl.scan_parquet(files, hive_partitioning=bool(by), hive_schema=by or None)

    def remove(self) -> None:
        """Remove what was written, if it is not to be committed after all."""
        for file, _ in self._written:
            file.unlink(missing_ok=True)

    def committed_after(self, version: int) -> int:
        """The version that committed these files, later than `version`; from now on it would outlive a power cut."""
        while True:
            version += 1
            entry = entry_of(self.folder, version)
            if self.id in entry.read_text(encoding="utf-8"):
                sync(entry)
                sync(entry.parent)
                return version

    def _write(self, frame: pl.DataFrame, partition: dict[str, str]) -> AddAction:
        name = Path(*(f"{key}={value}" for key, value in partition.items()), f"part-{uuid4()}.snappy.parquet")
        file = self.folder / name
        frame.write_parquet(file, compression="snappy", row_group_size=ROW_GROUP, mkdir=True)
        self._written.append((file, partition))
        return AddAction(
            path=name.as_posix(),
            size=file.stat().st_size,
            partition_values=partition,
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=statistics(frame),
        )


def entry_of(folder: Path, version: int) -> Path:
    """Where a table's log says what became of it in this version."""
    return folder / "_delta_log" / f"{version:020}.json"


def _parts(frame: pl.DataFrame, by: Sequence[str]) -> Iterable[tuple[tuple[object, ...], pl.DataFrame]]:
    """The rows of each partition; rows that all belong to one are not moved."""
    if not by:
        return [((), frame)]
    there = frame.select(by).unique()
    if there.height == 1:
        return [(there.row(0), frame.drop(by))]
    return frame.partition_by(*by, as_dict=True, include_key=False).items()


def statistics(frame: pl.DataFrame) -> str:
    """What the log says of a file, so that readers can leave it out: rows, and the bounds of whole numbers."""
    numbers = [name for name, dtype in frame.schema.items() if dtype == pl.Int64]
    bounds = frame.select(
        pl.len(),
        *(pl.col(name).min().alias(f"min {name}") for name in numbers),
        *(pl.col(name).max().alias(f"max {name}") for name in numbers),
        *(pl.col(name).null_count().alias(f"null {name}") for name in numbers),
    ).row(0, named=True)
    known = [name for name in numbers if bounds[f"min {name}"] is not None]
    return json.dumps(
        {
            "numRecords": bounds["len"],
            "minValues": {name: bounds[f"min {name}"] for name in known},
            "maxValues": {name: bounds[f"max {name}"] for name in known},
            "nullCount": {name: bounds[f"null {name}"] for name in numbers},
        }
    )


def sync(path: Path) -> None:
    """Return when the file, or a folder's list of files, would outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
