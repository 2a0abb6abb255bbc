"""Kept and quarantined: two halves that make the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from tests.transforms.event_rows import RECEIVED, gated, raw_event, raws
from transforms.frames import QUARANTINED_EVENTS, RAW_EVENTS, VALIDATED_EVENTS
from transforms.gate import EventsLost, check_conservation

MIXED = raws(
    raw_event("a", "0.1"),
    raw_event("a", "0.1"),
    raw_event("a", "0.3"),
    raw_event("b", "-1"),
    raw_event("c", None, door="REJECTED", reject_code="SCHEMA_INVALID"),
    raw_event("d", 7, occurred_at=RECEIVED - timedelta(days=91)),
    raw_event("e", "99999999999999999.123456789"),
)


def test_every_event_ends_in_one_half_by_count_and_by_quantity() -> None:
    kept, quarantined = gated(MIXED)
    assert sorted([*kept["raw_seq"], *quarantined["raw_seq"]]) == MIXED["raw_seq"].to_list()
    assert kept["quantity"].sum() + quarantined["quantity"].sum() == MIXED["quantity"].sum()
    assert quarantined["code"].to_list() == [
        "DUPLICATE", "IDEMPOTENCY_CONFLICT", "NEGATIVE_QUANTITY", "SCHEMA_INVALID", "TOO_OLD",
    ]  # fmt: skip


def test_both_halves_have_their_tables_shape_and_keep_their_rules() -> None:
    for table, half in zip((VALIDATED_EVENTS, QUARANTINED_EVENTS), gated(MIXED), strict=True):
        assert half.schema == pl.Schema(table.schema)
        for rule in table.rules:
            assert half.filter(~rule.holds).is_empty(), rule.name


def test_a_quarantined_event_is_kept_exactly_as_it_came() -> None:
    _, quarantined = gated(MIXED)
    came = MIXED.filter(pl.col("raw_seq").is_in(quarantined["raw_seq"].implode()))
    assert quarantined.select(came.columns).equals(came)


def test_an_event_is_filed_under_the_utc_month_it_happened_in() -> None:
    night = datetime(2023, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    kept, _ = gated(
        raws(raw_event("a", occurred_at=night), raw_event("b", occurred_at=night + timedelta(microseconds=1)))
    )
    assert kept["occurred_month"].to_list() == ["2023-10", "2023-11"]


def test_no_events_make_two_empty_halves() -> None:
    kept, quarantined = gated(RAW_EVENTS.empty())
    assert (kept.height, quarantined.height) == (0, 0)


def test_a_lost_event_stops_the_batch() -> None:
    kept, quarantined = gated(MIXED)
    with pytest.raises(EventsLost, match=r"6 events .* but 7 events .*raw_seq 1 to 7.*nothing was written"):
        check_conservation(MIXED, kept.head(1), quarantined)


def test_a_changed_quantity_stops_the_batch() -> None:
    kept, quarantined = gated(MIXED)
    more = kept.with_columns(
        quantity=(pl.col("quantity") + Decimal("1e-9")).cast(RAW_EVENTS.schema["quantity"])
    )
    with pytest.raises(EventsLost):
        check_conservation(MIXED, more, quarantined)
