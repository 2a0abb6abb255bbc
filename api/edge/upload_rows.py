"""Rows of an uploaded file as events. Put here: reading CSV, NDJSON and JSON, what columns mean, stable keys. Keep out: gates,
routes, Redis.

A row without a key gets one from its content and from the how-manieth of its kind it is: the same file, or a corrected one,
sent again doubles nothing, and equal rows of one file are several events. What was seen lies on disk, not in memory.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from api.exact_json import canonical, decode, encode
from domain.usage import CUSTOMER_NAMES, KEY_NAMES, QUANTITY_NAMES, TIME_NAMES, UNIT_NAMES

CSV, NDJSON, JSON = "csv", "ndjson", "json"
FIELDS: Mapping[str, tuple[str, ...]] = {
    "customerId": CUSTOMER_NAMES,
    "metricName": UNIT_NAMES,
    "quantity": QUANTITY_NAMES,
    "occurredAt": TIME_NAMES,
    "idempotencyKey": (*KEY_NAMES, "event_id"),
}
"""What can be mapped, and what a column may be called without being mapped."""
_LONGEST_LINE = 1024 * 1024
_elements = msgspec.json.Decoder(list[msgspec.Raw])


class Unreadable(Exception):
    """The file is not what its form says from here on; the message says why."""


def read_rows(file: Path, form: str) -> Iterator[dict[str, Any] | str]:
    """Each row as an object, or as text where it is none. Raises Unreadable."""
    try:
        if form == CSV:
            yield from _csv_rows(file)
        elif form == NDJSON:
            yield from _lines(file)
        else:
            yield from _whole(file)
    except UnicodeDecodeError as error:
        raise Unreadable(f"the file is not UTF-8: {error}") from None
    except csv.Error as error:
        raise Unreadable(f"the file is not CSV: {error}") from None


class Events:
    """Turns rows into events as text. mapping: event field -> column. defaults: event field -> value where a row has none."""

    def __init__(self, scratch: Path, mapping: Mapping[str, str], defaults: Mapping[str, str]) -> None:
        self._mapping = mapping
        self._defaults = defaults
        self._scratch = scratch
        scratch.unlink(missing_ok=True)
        self._seen = sqlite3.connect(scratch, check_same_thread=False, isolation_level=None)
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -4096"):
            self._seen.execute(f"PRAGMA {setting}")
        self._seen.execute("CREATE TABLE seen (row BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")

    def close(self) -> None:
        self._seen.close()
        self._scratch.unlink(missing_ok=True)

    def text(self, row: dict[str, Any] | str) -> str:
        """The event of a row; a row that is no object stays as it is, and the gates refuse it."""
        if isinstance(row, str):
            return row
        event = {name: value for name, value in row.items() if value not in (None, "")}
        for field, names in FIELDS.items():
            column = self._mapping.get(field)
            value = event.pop(column, None) if column is not None else None
            if value is None and column is None:
                value = next((event[name] for name in names if name in event), None)
            if value is None:
                value = self._defaults.get(field)
            for name in names:
                event.pop(name, None)
            if value is not None:
                event[field] = value
        if "idempotencyKey" not in event:
            event["idempotencyKey"] = self._key(event)
        return encode(event).decode()

    def _key(self, event: dict[str, Any]) -> str:
        digest = blake2b(canonical(event), digest_size=16).digest()
        upsert = (
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (row) DO UPDATE SET times = times + 1 RETURNING times"
        )
        [(times,)] = self._seen.execute(upsert, (digest,)).fetchall()
        return f"row:{digest.hex()}:{times}"


def _csv_rows(file: Path) -> Iterator[dict[str, Any] | str]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.reader(stream, strict=True)
        header = [name.strip() for name in next(rows, [])]
        if len(set(header)) != len(header):
            raise Unreadable("two columns have the same name")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                yield encode(row).decode()
            else:
                yield dict(zip(header, row, strict=True))


def _lines(file: Path) -> Iterator[dict[str, Any] | str]:
    with file.open("rb") as stream:
        while line := stream.readline(_LONGEST_LINE + 1):
            if len(line) > _LONGEST_LINE:
                raise Unreadable(f"a line is longer than {_LONGEST_LINE} bytes")
            if text := line.decode("utf-8-sig").strip():
                yield _object(text)


def _whole(file: Path) -> Iterator[dict[str, Any] | str]:
    try:
        content = file.read_bytes()
        if content.lstrip()[:1] == b"{":
            wrapped = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
            if "events" not in wrapped:
                raise Unreadable('the file is neither a list of events nor {"events": [ … ]}')
            content = bytes(wrapped["events"])
        elements = _elements.decode(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the file is not a JSON list of events: {error}") from None
    for element in elements:
        yield _object(bytes(element).decode())


def _object(text: str) -> dict[str, Any] | str:
    try:
        found = decode(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text
