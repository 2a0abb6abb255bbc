"""Kept and quarantined, as a pair. Put here: splitting new raw events in two. Keep out: writing them.

Every raw event ends in exactly one half: kept + quarantined = input, by count and by quantity (`check_conservation`).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import narwhals as nw
import polars as pl

from domain.errors import PermanentFailure
from transforms.deduplicate import IDENTITY, repeats, suspects
from transforms.engine import collected
from transforms.frames import QUARANTINED_EVENTS, VALIDATED_EVENTS, Table
from transforms.validate import validate

StandingKeys = Callable[[pl.Series], pl.DataFrame]
"""Given key hashes, the validated events that hold one of them, from before this batch."""


class EventsLost(PermanentFailure):
    """The two halves do not make the whole."""

    code = "EVENTS_LOST"


def gate(raw: pl.DataFrame, *, standing_keys: StandingKeys) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(kept, quarantined): VALIDATED_EVENTS and QUARANTINED_EVENTS rows of a batch of RAW_EVENTS rows."""
    judged = collected(validate(nw.from_native(raw.lazy())))
    found = _repeats_of(judged, standing_keys)
    # Only these two columns are joined: a million payloads are not worth moving for a handful of duplicates.
    fates = judged.select("raw_seq", "code").join(found, on="raw_seq", how="left", maintain_order="left")
    marked = judged.lazy().with_columns(
        fates["first_raw_seq"],
        fates.select(code=pl.coalesce("code", "repeat_code"))["code"],
        occurred_month=_month(raw["occurred_at"]),
    )
    kept = VALIDATED_EVENTS.conform(by_customer(_half(marked, pl.col("code").is_null(), VALIDATED_EVENTS)))
    quarantined = QUARANTINED_EVENTS.conform(_half(marked, pl.col("code").is_not_null(), QUARANTINED_EVENTS))
    check_conservation(raw, kept, quarantined)
    return kept, quarantined


def _repeats_of(judged: pl.DataFrame, standing_keys: StandingKeys) -> pl.DataFrame:
    """Which events that passed the gates repeat one of this batch or from before it: see `repeats`."""
    passed = judged.lazy().filter(pl.col("code").is_null()).select(*IDENTITY).collect()
    standing = standing_keys(passed["key_hash"])
    suspicious = pl.concat(
        [
            collected(suspects(nw.from_native(passed.lazy()))),
            passed.filter(pl.col("key_hash").is_in(standing["key_hash"].implode())),
        ]
    ).unique("raw_seq")
    return collected(repeats(nw.from_native(suspicious.lazy()), nw.from_native(standing.lazy())))


def _half(marked: pl.LazyFrame, belongs: pl.Expr, table: Table) -> pl.DataFrame:
    return marked.filter(belongs).select(*table.schema).collect(engine="in-memory")


def by_customer(events: pl.DataFrame) -> pl.DataFrame:
    """The events in order of customers, of which each has its own in the order they came. Files written so say of each of their
    row groups whose events it holds, and metering some customers reads no others'.

    By the places of each customer's events, of which there are few customers to sort."""
    places = events.lazy().select(*_WHO).with_row_index("place").group_by(_WHO).agg("place").sort(_WHO)
    return events[places.select(pl.col("place").explode()).collect(engine="in-memory").to_series()]


_WHO = ("tenant_id", "customer_id")


def _month(occurred_at: pl.Series) -> pl.Series:
    """The UTC month of each instant, YYYY-MM. There are few months, so each is spelt once."""
    starts = occurred_at.dt.truncate("1mo")
    months = starts.unique().drop_nulls()
    return starts.replace_strict(months, months.dt.strftime("%Y-%m"), default=None, return_dtype=pl.String)


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
