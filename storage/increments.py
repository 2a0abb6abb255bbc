"""New raw events, batch by batch, into the validated and quarantined tables, each exactly once.

Put here: reading what is new and committing what became of it. Keep out: the gates themselves (transforms/gate.py).

Both tables carry, in each commit, the last raw position they have seen (`MARKER`). A run that dies between the two commits
leaves one marker behind; the next run decides the same events again in the same way (keys are looked up as they stood
before the batch) and writes only to the table that lacks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from storage.lake import Cursor, Lake
from transforms.engine import ahead

MARKER = "raw_events"
BATCH = 1_000_000
STRETCH = 5
"""Batches for which the history is looked through once."""
MOST_BYTES = 512 * 1024 * 1024
"""Of keys held meanwhile; with more, the next stretch begins earlier."""
_KEY_COLUMNS = ("tenant_id", "key_hash", "idempotency_key", "payload_hash", "raw_seq")


@dataclass
class Standing:
    """Validated events whose keys may come again within a stretch of new raw events: those from before it, looked up once, and
    those of its own batches so far."""

    lake: Lake
    first: int
    last: int
    _frames: list[pl.DataFrame] = field(default_factory=list)

    def among(self, hashes: pl.Series) -> pl.DataFrame:
        """Those whose key hash is among `hashes`."""
        if not self._frames:
            self._frames.append(self._before())
        wanted = pl.LazyFrame({"key_hash": hashes})
        return pl.concat(self._frames).lazy().join(wanted, on="key_hash", how="semi").collect()

    def add(self, kept: pl.DataFrame) -> None:
        """A batch of the stretch was decided."""
        self._frames.append(kept.select(_KEY_COLUMNS))

    @property
    def size(self) -> int:
        """Bytes held."""
        return sum(frame.estimated_size() for frame in self._frames)

    def _before(self) -> pl.DataFrame:
        """Reads one 8-byte column of the history, and the keys themselves only where a hash was found."""
        history = self.lake.scan("validated_events").filter(pl.col("raw_seq") < self.first)
        if history.select("raw_seq").head(1).collect().is_empty():
            return history.select(_KEY_COLUMNS).head(0).collect()
        new = self.lake.scan("raw_events").filter(
            pl.col("raw_seq") >= self.first, pl.col("raw_seq") <= self.last
        )
        found = (
            history.select("key_hash", "raw_seq")
            .join(new.select("key_hash"), on="key_hash", how="semi")
            .collect(engine="streaming")["raw_seq"]
        )
        if found.is_empty():
            return history.select(_KEY_COLUMNS).head(0).collect()
        return history.select(_KEY_COLUMNS).filter(pl.col("raw_seq").is_in(found.implode())).collect()


@dataclass(frozen=True)
class Increment:
    """A batch of new raw events, and where their two halves go."""

    raw: pl.DataFrame
    first: int
    last: int
    standing: Standing
    validated: Cursor
    quarantined: Cursor

    def standing_keys(self, hashes: pl.Series) -> pl.DataFrame:
        """Validated events from before this batch whose key hash is among `hashes`."""
        return self.standing.among(hashes)

    def commit(self, kept: pl.DataFrame, quarantined: pl.DataFrame) -> None:
        """Append each half to its table, unless that table has seen these events before."""
        for cursor, half in ((self.validated, kept), (self.quarantined, quarantined)):
            seen = cursor.marker(MARKER) or 0
            if seen < self.last:
                cursor.append(half.filter(pl.col("raw_seq") > seen), markers={MARKER: self.last})
        self.standing.add(kept)


def increments(lake: Lake, *, batch: int = BATCH, most_bytes: int = MOST_BYTES) -> Iterator[Increment]:
    """Raw events that validated_events or quarantined_events have not seen yet, in order, at most `batch` at a time.

    Cost: each new event is read once; the history's hashes once for five batches. Memory: two batches, one of them being read
    while the other is decided and written.
    """
    validated, quarantined = lake.cursor("validated_events"), lake.cursor("quarantined_events")
    seen = min(validated.marker(MARKER) or 0, quarantined.marker(MARKER) or 0)
    last = lake.cursor("raw_events").marker("raw_seq") or 0
    standing = None
    for raw, first, upto in ahead(_raw(lake, seen + 1, last, batch)):
        if standing is None or first > standing.last or standing.size > most_bytes:
            standing = Standing(lake, first, min(first - 1 + STRETCH * batch, last))
        yield Increment(raw, first, upto, standing, validated, quarantined)


_Batch = tuple[pl.DataFrame, int, int]


def _raw(lake: Lake, first: int, last: int, batch: int) -> Iterator[_Batch]:
    for start in range(first, last + 1, batch):
        upto = min(start + batch - 1, last)
        within = pl.col("raw_seq") >= start, pl.col("raw_seq") <= upto
        yield lake.scan("raw_events").filter(*within).collect(), start, upto
