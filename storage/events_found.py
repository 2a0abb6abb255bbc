"""One event, wherever it is. Put here: finding it in the lake by its key, what became of it, what was billed for it. Keep out:
changing anything (services.event_corrections), printing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import polars as pl
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.errors import NotFound
from domain.event_correction import VOID
from domain.usage import key_digest, key_hash
from storage.lake import Lake
from storage.scope import Scope
from storage.tables.corrections import EventActRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow

_RECEIVED = (
    "raw_seq", "received_at", "source", "key_id", "customer_id", "unit", "quantity", "occurred_at", "act", "corrects",
    "origin_received_at", "payload",
)  # fmt: skip
_METERED = (
    "month",
    "raw_seq",
    "subscription_id",
    "line_id",
    "disposition",
    "quantity",
    "running_total",
    "marginal_revenue",
)


class EventNotFound(NotFound):
    """No event of the tenant has this key; another tenant's looks the same."""

    code = "EVENT_NOT_FOUND"
    exit_code = 2

    def __init__(self, key: str) -> None:
        super().__init__(
            f"there is no event with the idempotency key {key!r}; what was accepted within the last minute may still be on its way"
        )


@dataclass(frozen=True)
class Arrivals:
    """All that arrived under one key, in order, each with `outcome` (ACCEPTED, or the code it was quarantined with) and `detail`."""

    key: str
    rows: list[dict[str, Any]]

    @property
    def accepted(self) -> dict[str, Any] | None:
        """The one that stands."""
        return next((row for row in self.rows if row["outcome"] == "ACCEPTED"), None)


def arrivals(lake: Lake, tenant_id: str, key: str) -> Arrivals:
    """What arrived under the key, from validated and quarantined events. Reads one 8-byte column of each, and the rows found."""
    own = [pl.col("key_hash") == key_hash(tenant_id, key), pl.col("idempotency_key") == key]
    scope = Scope(tenants=(tenant_id,))
    kept = (
        lake.scan("validated_events", scope)
        .filter(*own)
        .select(*_RECEIVED, outcome=pl.lit("ACCEPTED"), detail=pl.lit(None))
    )
    others = lake.scan("quarantined_events", scope).filter(*own).select(*_RECEIVED, "detail", outcome="code")
    rows = [*kept.collect().to_dicts(), *others.collect().to_dicts()]
    return Arrivals(key, sorted(rows, key=lambda row: int(row["raw_seq"])))


def is_on_its_way(redis: Redis, tenant_id: str, key: str) -> bool:
    """Whether the door has accepted an event with this key within the last days; it may not be in the lake yet."""
    return bool(redis.exists(f"seen:{{{tenant_id}}}:{key_digest(tenant_id, key).hex()}"))


def whole_story(
    session: Session, lake: Lake, redis: Redis | None, tenant_id: str, key: str
) -> dict[str, Any]:
    """Where the event is and why: all that arrived under its key, the acts upon it, and what was billed for it last.

    `state`: COUNTED (an amendment, too: it stands for what it amends); VOIDED, AMENDED (from the next bill on); ACT (it voids
    another); QUARANTINED; ON_ITS_WAY.
    Raises EventNotFound.
    """
    found = arrivals(lake, tenant_id, key)
    if not found.rows and (redis is None or not is_on_its_way(redis, tenant_id, key)):
        raise EventNotFound(key)
    acts = acts_upon(session, tenant_id, key)
    return {
        "key": key,
        "state": _state(found, key, acts),
        "received": [_shown_arrival(row) for row in found.rows],
        "acts": [shown_act(act) for act in acts],
        "billed": billed(session, lake, tenant_id, acts[0].origin_key if acts else key),
    }


def acts_upon(session: Session, tenant_id: str, key: str) -> list[EventActRow]:
    """The acts of the chain the event belongs to, in the order they were made."""
    act, mine = EventActRow, EventActRow.tenant_id == tenant_id
    chain = select(act.origin_key).where(mine, (act.event_key == key) | (act.act_key == key)).limit(1)
    origin = session.scalar(chain)
    if origin is None:
        return []
    return list(
        session.scalars(select(act).where(mine, act.origin_key == origin).order_by(act.created_at, act.id))
    )


def billed(session: Session, lake: Lake, tenant_id: str, key: str) -> list[dict[str, Any]]:
    """What the last bill of each month made of the event: its disposition, its line, and the invoice the line is on."""
    rows = (
        lake.scan("metered_events", Scope(tenants=(tenant_id,)))
        .filter(pl.col("key_hash") == key_hash(tenant_id, key), pl.col("idempotency_key") == key)
        .select(_METERED)
        .collect()
        .to_dicts()
    )
    invoices = _invoices_of(session, tenant_id, {row["line_id"] for row in rows if row["line_id"]})
    nothing = {"invoiceId": None, "invoiceNumber": None, "invoiceStatus": None}
    return [
        {
            "month": row["month"],
            "rawSeq": row["raw_seq"],
            "disposition": row["disposition"],
            "subscriptionId": row["subscription_id"],
            "lineId": row["line_id"],
            "quantity": row["quantity"],
            "runningTotal": row["running_total"],
            "marginalRevenue": row["marginal_revenue"],
            **invoices.get(row["line_id"], nothing),
        }
        for row in sorted(rows, key=lambda row: str(row["month"]))
    ]


def shown_act(row: EventActRow) -> dict[str, Any]:
    """An act as it is shown."""
    return {
        "id": row.id,
        "kind": row.kind,
        "eventKey": row.event_key,
        "originKey": row.origin_key,
        "actKey": row.act_key,
        "customerId": row.customer_id,
        "unit": row.unit,
        "reason": row.reason,
        "changes": row.changes,
        "createdBy": row.created_by,
        "createdAt": row.created_at,
        "sentAt": row.sent_at,
    }


def payload_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """An event as sent; what cannot be read says nothing."""
    try:
        sent = msgspec.json.Decoder(float_hook=Decimal).decode(row["payload"] or "{}")
    except msgspec.DecodeError:
        return {}
    return sent if isinstance(sent, dict) else {}


def _state(found: Arrivals, key: str, acts: list[EventActRow]) -> str:
    own = next((act for act in acts if act.event_key == key), None)
    if own is not None:
        return "VOIDED" if own.kind == VOID else "AMENDED"
    standing = found.accepted
    if standing is not None:
        return "ACT" if standing["act"] == VOID else "COUNTED"
    return "QUARANTINED" if found.rows else "ON_ITS_WAY"


def _shown_arrival(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "rawSeq": row["raw_seq"],
        "outcome": row["outcome"],
        "detail": row["detail"],
        "receivedAt": row["received_at"],
        "source": row["source"],
        "keyId": row["key_id"],
        "customerId": row["customer_id"],
        "unit": row["unit"],
        "quantity": row["quantity"],
        "occurredAt": row["occurred_at"],
        "payload": row["payload"],
    }


def _invoices_of(session: Session, tenant_id: str, lines: set[str]) -> dict[str, dict[str, Any]]:
    line, invoice = InvoiceLineRow, InvoiceRow
    query = (
        select(line.line_id, invoice.id, invoice.number, invoice.status)
        .join(invoice, (line.tenant_id == invoice.tenant_id) & (line.invoice_id == invoice.id))
        .where(line.tenant_id == tenant_id, line.line_id.in_(lines), invoice.withdrawn.is_(False))
        .order_by(invoice.created_at)
    )
    return {
        line_id: {"invoiceId": id_, "invoiceNumber": number, "invoiceStatus": status}
        for line_id, id_, number, status in session.execute(query).tuples()
    }
