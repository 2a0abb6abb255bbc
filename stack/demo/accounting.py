"""Every event accounted for. Put here: what the lake holds of a tenant, beside what the edge answered. Keep out: printing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from domain.errors import PermanentFailure
from stack.demo.sending import Tally
from storage.lake import Lake


class EventsUnaccounted(PermanentFailure):
    """The edge and the lake disagree about how many events there are."""

    code = "EVENTS_UNACCOUNTED"

    def __init__(self, received: int, held: Holdings) -> None:
        super().__init__(
            f"the edge received {received} events, but raw_events holds {held.raw}, of which {held.validated} are validated "
            f"and {held.quarantined} quarantined; the three should agree"
        )


@dataclass
class Holdings:
    """What the lake holds: raw = validated + quarantined, the latter by code."""

    raw: int
    validated: int
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def quarantined(self) -> int:
        return self.codes.total()


def holdings(lake: Lake, tenant: str, since: datetime | None = None) -> Holdings:
    """A tenant's events in the lake, those received from `since` on."""

    def received(table: str) -> pl.LazyFrame:
        rows = lake.scan(table).filter(pl.col("tenant_id") == tenant)
        return rows if since is None else rows.filter(pl.col("received_at") >= since)

    raw, validated = (
        received(table).select(pl.len()).collect().item() for table in ("raw_events", "validated_events")
    )
    codes = received("quarantined_events").group_by("code").len().collect()
    return Holdings(raw, validated, Counter(dict(codes.iter_rows())))


def check(tally: Tally, held: Holdings) -> None:
    """Raise EventsUnaccounted unless all that was received is in the lake, in exactly one of the two halves."""
    if not tally.received == held.raw == held.validated + held.quarantined:
        raise EventsUnaccounted(tally.received, held)


def rows(tally: Tally, held: Holdings) -> list[tuple[str, int, int]]:
    """(what, as the edge answered, as the lake holds it): received = accepted + duplicate + refused, the latter by code."""
    codes = sorted({*tally.codes, *held.codes} - {"DUPLICATE"})
    return [
        ("received", tally.received, held.raw),
        ("accepted", tally.accepted, held.validated),
        ("duplicate", tally.duplicates, held.codes["DUPLICATE"]),
        *((f"refused: {code}", tally.codes[code], held.codes[code]) for code in codes),
    ]
