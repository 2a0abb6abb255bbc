"""Delta's deletion vectors: which rows of a file are gone, without the file being written again. Put here: making them, and
the log entries that carry them. Keep out: which rows go (lake.py), reading (Delta's readers leave these rows out by themselves).

A vector lies within its log entry: a roaring bitmap of 64 bits (runs only) in base 85. Rows of one customer lie together in our
tables, so one run says them all: four bytes. The format is Delta's protocol, "Deletion Vectors".
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
from deltalake import DeltaTable
from deltalake.transaction import AddAction

from storage.lake_files import entry_of, sync

Action = dict[str, Any]
ENABLED = {"delta.enableDeletionVectors": "true"}
"""The property of a table whose rows may go this way."""
CHECKPOINT_EVERY = 100
"""Commits, as Delta's own."""
_MAGIC, _RUNS, _OFFSETS_FROM = 1681511377, 12347, 4
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def may_lose_rows(table: DeltaTable) -> bool:
    """Whether readers of the table are told to look for deletion vectors."""
    return "deletionVectors" in (table.protocol().reader_features or ())


def replace_rows(
    folder: Path,
    table: DeltaTable,
    gone: pl.Expr,
    added: Sequence[AddAction],
    *,
    partition: Mapping[str, str],
    marker: str,
    said: Action,
) -> int | None:
    """Commit that these rows of a partition are gone and these files are there, and say which version that is. None, and nothing
    happened, if another commit has come since the table was read. marker: of two commits with one after the
    same state, the later one fails. said: what the log keeps about the commit.

    Cost: the columns that `gone` looks at, of the row groups that may hold such rows.
    """
    version = table.version() + 1
    about = {"timestamp": _now(), "operation": "WRITE", **said}
    actions = [
        {"commitInfo": about},
        {"txn": {"appId": marker, "version": version}},
        *_without_rows(folder, table, gone, partition),
        *map(_added, added),
    ]
    if not _commit(folder, version, actions):
        return None
    if version % CHECKPOINT_EVERY == 0:
        table.update_incremental()
        table.create_checkpoint()
    return version


def vector(rows: pl.Series) -> dict[str, Any]:
    """The vector of these row numbers, ascending and below 2^32, as a log entry says it."""
    data = struct.pack("<IQI", _MAGIC, 1, 0) + _bitmap(rows)
    return {
        "storageType": "i",
        "pathOrInlineDv": base85(data),
        "sizeInBytes": len(data),
        "cardinality": len(rows),
    }


def _without_rows(
    folder: Path, table: DeltaTable, rows: pl.Expr, partition: Mapping[str, str]
) -> Iterator[Action]:
    """Nothing for a file that has no such rows; a file of which nothing is left goes as a whole."""
    gone = _gone(table)
    for add in _files(folder, table.version()):
        if add["partitionValues"] != partition:
            continue
        file = pl.scan_parquet(folder / add["path"], hive_partitioning=False).with_row_index("row")
        before = gone.get(add["path"], pl.Series("row", [], dtype=pl.UInt32))
        now = pl.concat([before, file.filter(rows).select("row").collect()["row"]]).unique().sort()
        if len(now) == len(before):
            continue
        yield _removed(add)
        if len(now) < file.select(pl.len()).collect().item():
            yield {"add": {**add, "stats": _loose(add), "deletionVector": vector(now)}}


def _commit(folder: Path, version: int, actions: Sequence[Action]) -> bool:
    """Make this the table's version, on disk for good; False if another commit has become it."""
    entry = entry_of(folder, version)
    draft = entry.with_name(f".{uuid4()}.json")
    draft.write_text("".join(json.dumps(action) + "\n" for action in actions), encoding="utf-8")
    try:
        sync(draft)
        os.link(draft, entry)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync(entry.parent)
    return True


def _gone(table: DeltaTable) -> dict[str, pl.Series]:
    """The rows that are gone already, by the path of their file within the table: `partition=…/file`."""
    masks = pl.DataFrame(table.deletion_vectors())
    return {
        "/".join(masks["filepath"][at].split("/")[-2:]): (~masks["selection_vector"][at]).arg_true()
        for at in range(masks.height)
    }


def _files(folder: Path, version: int) -> list[Action]:
    """The files of a version, as the log adds them: from its last checkpoint on."""
    files: dict[str, Action] = {}
    first = 0
    for checkpoint in sorted((folder / "_delta_log").glob("*.checkpoint.parquet"), reverse=True):
        at = int(checkpoint.name.split(".", 1)[0])
        if at <= version:
            files = {add["path"]: add for add in _checkpointed(checkpoint)}
            first = at + 1
            break
    for number in range(first, version + 1):
        entry = entry_of(folder, number).read_text(encoding="utf-8")
        actions = [json.loads(line) for line in entry.splitlines()]
        for action in actions:
            files.pop(action.get("remove", {}).get("path"), None)
        files |= {action["add"]["path"]: action["add"] for action in actions if "add" in action}
    return [{name: value for name, value in add.items() if value is not None} for add in files.values()]


def _checkpointed(checkpoint: Path) -> Iterator[Action]:
    adds = pl.read_parquet(checkpoint, columns=["add"])["add"].drop_nulls()
    for add in adds.to_list():
        vector = add["deletionVector"]
        if vector:
            vector = {name: value for name, value in vector.items() if value is not None}
        yield {**add, "partitionValues": dict(add["partitionValues"]), "tags": None, "deletionVector": vector}


def _removed(add: Action) -> Action:
    """A file goes, or goes on with another vector: path and vector together are its name."""
    kept = ("path", "partitionValues", "size", "deletionVector")
    said = {name: add[name] for name in kept if name in add}
    return {"remove": {**said, "deletionTimestamp": _now(), "dataChange": True, "extendedFileMetadata": True}}


def _added(file: AddAction) -> Action:
    said = {
        "path": file.path,
        "partitionValues": file.partition_values,
        "size": file.size,
        "modificationTime": file.modification_time,
        "dataChange": file.data_change,
        "stats": file.stats,
    }
    return {"add": said}


def _now() -> int:
    return int(time.time() * 1000)


def _loose(add: Action) -> str:
    """The file's bounds, which need not be those of the rows that are left."""
    return json.dumps({**json.loads(add.get("stats") or "{}"), "tightBounds": False})


def _bitmap(rows: pl.Series) -> bytes:
    """A 32-bit roaring bitmap of run containers in the portable format."""
    blocks = [_container(block) for block in _blocks(rows)]
    head = struct.pack("<I", _RUNS | (len(blocks) - 1) << 16)
    head += ((1 << len(blocks)) - 1).to_bytes((len(blocks) + 7) // 8, "little")
    head += b"".join(about for about, _ in blocks)
    bodies = [body for _, body in blocks]
    if len(blocks) >= _OFFSETS_FROM:
        at = len(head) + 4 * len(blocks)
        for body in bodies:
            head += struct.pack("<I", at)
            at += len(body)
    return head + b"".join(bodies)


def _blocks(rows: pl.Series) -> Iterator[dict[str, Any]]:
    """Each 65,536 rows of which some are gone: `block`, `rows`, and their runs, as `first` within the block and `more` after it."""
    row = pl.col("row").cast(pl.Int64)
    found = (
        pl.LazyFrame({"row": rows})
        .with_columns(block=row // 65_536, run=row - pl.int_range(pl.len()))
        .group_by("block", "run")
        .agg(first=row.min() % 65_536, rows=pl.len())
        .sort("block", "first")
        .group_by("block", maintain_order=True)
        .agg(pl.col("rows").sum(), "first", more=pl.col("rows") - 1)
    )
    return found.collect().iter_rows(named=True)


def _container(block: dict[str, Any]) -> tuple[bytes, bytes]:
    about = struct.pack("<HH", block["block"], block["rows"] - 1)
    runs = list(chain.from_iterable(zip(block["first"], block["more"], strict=True)))
    return about, struct.pack(f"<{len(runs) + 1}H", len(runs) // 2, *runs)


def base85(data: bytes) -> str:
    """ZeroMQ's base 85, filled up with zeros to whole groups."""
    padded = data + bytes(-len(data) % 4)
    digits: list[str] = []
    for (number,) in struct.iter_unpack(">I", padded):
        digits += (_DIGITS[number // 85**place % 85] for place in (4, 3, 2, 1, 0))
    return "".join(digits)
