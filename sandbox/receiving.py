"""Events on their way in. Put here: what is under way, the door's verdicts, raw events through the gates. Keep out: making events
(generated.py), rules (domain.usage, transforms.gate).

Written events go through the domain's door one by one. Of generated ones the door judges one of a kind, and each that its clock
gate concerns; that is the same, because the other gates look at nothing in which the events of a kind differ. Duplicates are
decided where they are decided for good: in the lake's gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
from sqlalchemy.orm import Session

from domain.access import UnitRecord
from domain.catalog.fields import FieldProblem
from domain.instant import micros
from domain.usage import AGE_LIMIT, FUTURE_LIMIT, Door, UsageEvent, read_event
from sandbox.generated import Generated, generate
from sandbox.month import EVENT_TABLES, judge
from storage import event_log
from storage.drain import to_raw
from storage.increments import BATCH, increments
from storage.lake import Lake
from storage.repositories.rights import unit_records
from transforms.frames import RAW_EVENTS
from transforms.gate import gate

_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True)
class Written:
    """One event as it is sent. received_at: epoch microseconds. path: where it stands in the scenario."""

    tenant: str
    sent: Mapping[str, Any]
    received_at: int
    path: str
    backfill: str | None = None


class Post:
    """Events that are on their way, in order of receipt."""

    def __init__(self, lake: Lake, batch: int | None) -> None:
        self._lake = lake
        self._batch = batch or BATCH
        self._written: list[Written] = []
        self._generated: list[tuple[Generated, str, pl.DataFrame]] = []

    def send(self, events: list[Written]) -> None:
        """Let these arrive when their time has come."""
        self._written = sorted([*self._written, *events], key=lambda event: event.received_at)

    def send_many(self, asked: Generated, tenant: str) -> None:
        """Let generated events arrive when their time has come."""
        self._generated.append((asked, tenant, generate(asked, tenant)))

    def last(self) -> int | None:
        """When the last of them is received, in epoch microseconds; None: nothing is under way."""
        ends = [event.received_at for event in self._written[-1:]]
        ends += [micros(rows["received_at"][-1]) for _, _, rows in self._generated if rows.height]
        return max(ends, default=None)

    def deliver(self, session: Session, until: datetime) -> int:
        """All that is received by then, into the lake and through the gates; how many events that were. Raises GateClosed."""
        units = _Units(session)
        limit = micros(until)
        came = [event for event in self._written if event.received_at <= limit]
        self._written = self._written[len(came) :]
        frames = [
            _by_hand([event for event in came if event.tenant == tenant], units)
            for tenant in sorted({event.tenant for event in came})
        ]
        for place, (asked, tenant, rows) in enumerate(self._generated):
            arrived = rows.filter(pl.col("received_at") <= until)
            if arrived.height:
                self._generated[place] = asked, tenant, rows.slice(arrived.height)
                frames.append(_judged(arrived, asked, tenant, units))
        if not frames:
            return 0
        return self._take_in(pl.concat(frames).sort("received_at", maintain_order=True))

    def take_in(self, request: event_log.Request) -> None:
        """What an operator does to an event, into the lake and through the gates at once. Raises GateClosed."""
        self._take_in(to_raw(request.tenant_id, [event_log.entry_of(request)], first=1))

    def _take_in(self, rows: pl.DataFrame) -> int:
        cursor = self._lake.cursor("raw_events")
        seen = cursor.marker("raw_seq") or 0
        numbered = rows.with_columns(
            raw_seq=pl.int_range(seen + 1, seen + 1 + rows.height, dtype=pl.Int64),
            received_day=pl.col("received_at").dt.strftime("%Y-%m-%d"),
        )
        cursor.append(RAW_EVENTS.conform(numbered), markers={"raw_seq": seen + rows.height})
        for batch in increments(self._lake, batch=self._batch):
            batch.commit(*gate(batch.raw, standing_keys=batch.standing_keys))
        since = pl.col("raw_seq") > seen
        new = {name: self._lake.scan(name).filter(since) for name in EVENT_TABLES}
        for name, frame in new.items():
            judge(name, frame, related=new)
        return rows.height


class _Units:
    """Each tenant's units, as they are now."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, dict[str, UnitRecord]] = {}

    def door(self, tenant: str, backfill: str | None = None, salt: str = "") -> Door:
        if tenant not in self._known:
            found = unit_records(self._session, tenant)
            by_name = {unit.name.lower(): unit for unit in found}
            self._known[tenant] = by_name | {unit.key.lower(): unit for unit in found}
        return Door(tenant, self._known[tenant], backfill=backfill, salt=salt)


def _by_hand(events: list[Written], units: _Units) -> pl.DataFrame:
    """A tenant's written events as rows of RAW_EVENTS, made by way of entries of the log as the drain reads them."""
    entries = []
    for event in events:
        door = units.door(event.tenant, event.backfill, salt=event.path)
        read = read_event(event.sent, door, received_at=event.received_at)
        text = _JSON.encode(event.sent).decode()
        request = event_log.Request(
            event.tenant, "sandbox", "written", event.received_at, [read], [text], [[]]
        )
        entries.append(event_log.entry_of(request))
    return to_raw(events[0].tenant, entries, first=1)


def _judged(rows: pl.DataFrame, asked: Generated, tenant: str, units: _Units) -> pl.DataFrame:
    """Generated rows with the door's verdict."""
    door = units.door(tenant)
    of_kind = {variant: _specimen(asked, variant, door) for variant in rows["variant"].unique()}
    refused = {variant: read.refusals[0] for variant, read in of_kind.items() if read.refusals}
    code, detail = (
        pl.col("variant").replace_strict({at: getattr(why, name) for at, why in refused.items()}, default=None, return_dtype=pl.String)
        for name in ("code", "detail")
    )  # fmt: skip
    told = rows.with_columns(reject_code=code, reject_detail=detail).with_row_index("place")
    ahead = pl.col("occurred_at").dt.epoch("us") - pl.col("received_at").dt.epoch("us")
    odd = told.filter(pl.col("reject_code").is_null(), (ahead > FUTURE_LIMIT) | (ahead < -AGE_LIMIT))
    if odd.height:
        told = told.update(_of_the_clock(odd, door), on="place")
    reached = pl.when(pl.col("reject_code").is_null()).then(pl.lit("ACCEPTED")).otherwise(pl.lit("REJECTED"))
    lacking = {"raw_seq": 0, "received_day": "", "correction": False, "backfill": None}
    lacking |= dict.fromkeys(("act", "corrects", "origin_received_at", "trace_id", "mac"))
    return RAW_EVENTS.conform(
        told.with_columns(door=reached, **{name: pl.lit(value) for name, value in lacking.items()})
    )


def _specimen(asked: Generated, variant: int, door: Door) -> UsageEvent:
    said = asked.said[variant] if asked.said else {}
    sent = {"customerId": asked.customers[0], "metricName": asked.unit, "quantity": Decimal(1), **said}
    read = read_event({**sent, "idempotencyKey": "specimen"}, door, received_at=asked.start)
    if read.unit != asked.unit:
        raise FieldProblem(
            "events", f"{asked.unit!r} is the name of unit {read.unit!r}; generated events name the key"
        )
    return read  # fmt: skip


def _of_the_clock(odd: pl.DataFrame, door: Door) -> pl.DataFrame:
    """What the door says of events whose time is out of its reach."""
    rows = []
    columns = odd.select("place", "customer_id", "unit", pl.col("occurred_at", "received_at").dt.epoch("us"))
    for place, customer, unit, occurred, received in columns.iter_rows():
        at = Decimal(occurred) / 1000
        sent = {"customerId": customer, "metricName": unit, "quantity": 1, "occurredAt": at}
        why = read_event({**sent, "idempotencyKey": "odd"}, door, received_at=received).refusals[0]
        rows.append((place, why.code, why.detail))
    schema: dict[str, Any] = {
        "place": odd.schema["place"],
        "reject_code": pl.String,
        "reject_detail": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
