"""Kept and quarantined, as a pair. Put here: splitting new raw events in two. Keep out: writing them.

Every raw event ends in exactly one half: kept + quarantined = input, by count and by quantity (`check_conservation`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import narwhals as nw
import polars as pl

from domain.errors import PermanentFailure
from transforms.deduplicate import repeats, suspects
from transforms.engine import collected
from transforms.frames import QUARANTINED_EVENTS, VALIDATED_EVENTS
from transforms.validate import validate

StandingKeys = Callable[[pl.Series], pl.DataFrame]
"""Given key hashes, the validated events that hold one of them, from before this batch."""


class EventsLost(PermanentFailure):
    """The two halves do not make the whole."""

    code = "EVENTS_LOST"


def gate(raw: pl.DataFrame, *, standing_keys: StandingKeys) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, quarantined): VALIDATED_EVENTS and QUARANTINED_EVENTS rows of a batch of RAW_EVENTS rows."""
    judged = collected(validate(nw.from_native(raw.lazy())))
    passed = judged.filter(pl.col("code").is_null())
    standing = standing_keys(passed["key_hash"])
    suspicious = pl.concat(
        [
            collected(suspects(nw.from_native(passed.lazy()))),
            passed.filter(pl.col("key_hash").is_in(standing["key_hash"].implode())),
        ]
    ).unique("raw_seq")
    found = collected(repeats(nw.from_native(suspicious.lazy()), nw.from_native(standing.lazy())))
    marked = judged.join(found, on="raw_seq", how="left").with_columns(
        code=pl.coalesce("code", "repeat_code"),
    )
    kept = VALIDATED_EVENTS.conform(_with_month(marked.filter(pl.col("code").is_null())))
    quarantined = QUARANTINED_EVENTS.conform(marked.filter(pl.col("code").is_not_null()))
    check_conservation(raw, kept, quarantined)
    return kept, quarantined


def _with_month(kept: pl.DataFrame) -> pl.DataFrame:
    """The events with `occurred_month`; there are few months, so each is spelt once."""
    numbered = kept.with_columns(
        month_start=pl.col("occurred_at").dt.truncate("1mo"),
    )
    starts = numbered.select("month_start").unique()
    named = starts.with_columns(occurred_month=pl.col("month_start").dt.strftime("%Y-%m"))
    return numbered.join(named, on="month_start", how="left", maintain_order="left")


def check_conservation(raw: pl.DataFrame, kept: pl.DataFrame, quarantined: pl.DataFrame) -> None:
    """Raise `EventsLost` unless kept + quarantined = raw, by count and by quantity."""
    halves = (kept, quarantined)
    rows = sum(half.height for half in halves)
    quantity, arrived = sum(map(_quantity, halves)), _quantity(raw)
    if rows != raw.height or quantity != arrived:
        raise EventsLost(
            f"kept + quarantined = {rows} events with quantity {quantity}, but {raw.height} events with quantity "
            f"{arrived} came in (raw_seq {raw['raw_seq'].min()!r} to {raw['raw_seq'].max()!r}); nothing was written"
        )


def _quantity(frame: pl.DataFrame) -> Decimal:
    return Decimal(str(frame["quantity"].sum() or 0))
