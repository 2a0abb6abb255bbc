"""New raw events, batch by batch, into the validated and quarantined tables, each exactly once.

Put here: reading what is new and committing what became of it. Keep out: the gates themselves (transforms/gate.py).

Both tables carry, in each commit, the last raw position they have seen (`MARKER`). A run that dies between the two commits
leaves one marker behind; the next run decides the same events again in the same way (keys are looked up as they stood
before the batch) and writes only to the table that lacks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from storage.lake import Cursor, Lake

MARKER = "raw_events"
BATCH = 500_000
_KEY_COLUMNS = ("tenant_id", "key_hash", "idempotency_key", "payload_hash", "raw_seq")


@dataclass(frozen=True)
class Increment:
    """A batch of new raw events, and where their two halves go."""

    lake: Lake
    raw: pl.DataFrame
    first: int
    last: int
    validated: Cursor
    quarantined: Cursor

    def standing_keys(self, hashes: pl.Series) -> pl.DataFrame:
        """Validated events from before this batch whose key hash is among `hashes`.

        Reads one 8-byte column of the history, and the keys themselves only where a hash was found.
        """
        history = self.lake.scan("validated_events").filter(pl.col("raw_seq") < self.first)
        wanted = pl.LazyFrame({"key_hash": hashes}).unique()
        found = (
            history.select("key_hash", "raw_seq")
            .join(wanted, on="key_hash", how="semi")
            .collect(engine="streaming")["raw_seq"]
        )
        if found.is_empty():
            return history.select(_KEY_COLUMNS).head(0).collect()
        return history.select(_KEY_COLUMNS).filter(pl.col("raw_seq").is_in(found.implode())).collect()

    def commit(self, kept: pl.DataFrame, quarantined: pl.DataFrame) -> None:
        """Append each half to its table, unless that table has seen these events before."""
        for cursor, half in ((self.validated, kept), (self.quarantined, quarantined)):
            seen = cursor.marker(MARKER) or 0
            if seen < self.last:
                cursor.append(half.filter(pl.col("raw_seq") > seen), markers={MARKER: self.last})


def increments(lake: Lake, *, batch: int = BATCH) -> Iterator[Increment]:
    """Raw events that validated_events or quarantined_events have not seen yet, in order, at most `batch` at a time."""
    validated, quarantined = lake.cursor("validated_events"), lake.cursor("quarantined_events")
    seen = min(validated.marker(MARKER) or 0, quarantined.marker(MARKER) or 0)
    last = lake.cursor("raw_events").marker("raw_seq") or 0
    while seen < last:
        upto = min(seen + batch, last)
        raw = lake.scan("raw_events").filter(pl.col("raw_seq") > seen, pl.col("raw_seq") <= upto).collect()
        yield Increment(lake, raw, seen + 1, upto, validated, quarantined)
        seen = upto
