"""What came of a scenario. Put here: the whole of it as JSON values, decimals as exact text. Keep out: tables for people (telling.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.quantity import plain
from domain.spelling import on_the_wire
from sandbox.expected import Unmet
from sandbox.month import EVENT_TABLES
from sandbox.world import World
from storage.database import session_scope
from storage.lake import Lake
from storage.repositories.invoice_states import as_dict, lines_of, payments_of
from storage.tables.corrections import AdjustmentRow
from storage.tables.customers import SubscriptionRow
from storage.tables.invoices import InvoiceRow
from storage.tables.money import WalletRow, WalletTransactionRow
from storage.tables.receivables import CreditNoteRow
from storage.tables.taxes import InvoiceTaxRow
from storage.tables.wallet_grants import AlertRow, WalletGrantRow
from transforms.frames import TABLES

_HEADER = {
    "customer_id": "customer", "month": "month", "number": "number", "status": "status", "kind": "kind", "currency": "currency",
    "period_start": "periodStart", "period_end": "periodEnd", "subtotal": "subtotal", "discount": "discount", "tax": "tax",
    "total": "total", "wallet_amount": "wallet", "amount_due": "due", "paid": "paid", "credited": "credited", "due_date": "dueDate",
    "void_reason": "voidReason", "input_hash": "inputHash", "content_hash": "contentHash",
}  # fmt: skip
_LINE = {
    "description": "description", "line_type": "type", "subscription_id": "subscription", "unit": "unit", "model": "model",
    "period_start": "periodStart", "period_end": "periodEnd", "events": "events", "quantity": "quantity", "included": "included",
    "billable": "billable", "unrounded": "unrounded", "amount": "amount", "commit_adjustment": "commitAdjustment",
    "discount": "discount", "taxable": "taxable", "tax": "tax", "price_currency": "priceCurrency", "fx_rate": "fxRate",
    "tiers": "tiers", "taxes": "taxes", "line_id": "line",
}  # fmt: skip
_TAX = ("name", "jurisdiction", "category", "treatment", "tax_id", "rate", "inclusive", "taxable", "tax")
_REFUSED = ("DUPLICATE", "IDEMPOTENCY_CONFLICT")


@dataclass(frozen=True)
class Outcome:
    """data: everything that came of it. unmet: expectations that were not met."""

    data: dict[str, Any]
    unmet: tuple[Unmet, ...]

    @property
    def met(self) -> bool:
        return not self.unmet

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        unmet = [
            {"path": each.path, "expected": _value(each.expected), "came": _value(each.came)}
            for each in self.unmet
        ]
        return {"met": self.met, "unmet": unmet, **self.data}


def tell(world: World, story: list[dict[str, Any]], *, stages: bool = False) -> dict[str, Any]:
    """All there is to tell of the world as it is now. stages: with the rows of every stage."""
    lake = world.ground.lake
    with session_scope(world.ground.database) as session:
        told = {
            "events": _events(lake, None),
            "invoices": [_invoice(session, row) for row in _rows(session, InvoiceRow, "month", "tenant_id", "customer_id", "number")],
            "held": _held(lake),
            "subscriptions": _subscriptions(session),
            "wallets": _wallets(session),
            "adjustments": _adjustments(session),
            "creditNotes": _credit_notes(session),
            "replays": world.replays,
            "alerts": _alerts(session),
        }  # fmt: skip
    told["story"] = story
    if len(world.tenants) > 1:
        told["tenants"] = {tenant: {"events": _events(lake, tenant)} for tenant in world.tenants}
    if stages:
        names = (name for name in TABLES if name not in (*EVENT_TABLES, "metered_events"))
        told["stages"] = {name: _frame(lake, name) for name in names}
    return told


def _events(lake: Lake, tenant: str | None) -> dict[str, Any]:
    """The accounting: received = validated + deduplicated + conflicts + rejected; what became of the validated ones in bills."""
    mine = pl.lit(True) if tenant is None else pl.col("tenant_id") == tenant

    def count(name: str, by: str) -> dict[Any, int]:
        rows = lake.scan(name).filter(mine).group_by(by).len().sort(by).collect()
        return dict(rows.iter_rows())

    refused = count("quarantined_events", "code")
    late = count("validated_events", "late")
    validated = sum(late.values())
    return {
        "received": validated + sum(refused.values()),
        "validated": validated,
        "late": late.get(True, 0),
        "deduplicated": refused.get("DUPLICATE", 0),
        "conflicts": refused.get("IDEMPOTENCY_CONFLICT", 0),
        "rejected": sum(number for code, number in refused.items() if code not in _REFUSED),
        "refused": refused,
        "metered": count("metered_events", "disposition"),
    }


def _invoice(session: Session, row: InvoiceRow) -> dict[str, Any]:
    header = _named(as_dict(row), _HEADER)
    query = select(InvoiceTaxRow).where(
        InvoiceTaxRow.tenant_id == row.tenant_id, InvoiceTaxRow.invoice_id == row.id
    )
    taxes = session.scalars(query.order_by(InvoiceTaxRow.number))
    payments = [_columns(each, "amount", "status", "provider") for each in payments_of(session, row)]
    return {
        "tenant": row.tenant_id,
        **header,
        "left": _value(row.left),
        "lines": [_named(line, _LINE) for line in lines_of(session, row)],
        "taxes": [_columns(each, *_TAX) for each in taxes],
        "payments": payments,
    }


def _held(lake: Lake) -> list[dict[str, Any]]:
    columns = {"tenant_id": "tenant", "customer_id": "customer", "month": "month", "hold_reason": "reason"}
    held = lake.scan("routed_lines").filter(pl.col("destination") == "HELD").select(*columns).unique()
    rows = held.sort("month", "tenant_id", "customer_id", "hold_reason").collect().to_dicts()
    return [_named(row, columns) for row in rows]


def _subscriptions(session: Session) -> list[dict[str, Any]]:
    rows = _rows(session, SubscriptionRow, "tenant_id", "id")
    return [
        {"tenant": row.tenant_id, "subscription": row.id, "customer": row.customer_id, "offering": row.offering_id}
        | {"status": row.status, "planVersion": row.plan_version}
        for row in rows
    ]  # fmt: skip


def _wallets(session: Session) -> list[dict[str, Any]]:
    grants = _rows(session, WalletGrantRow, "seq")
    moves = _rows(session, WalletTransactionRow, "seq")
    return [
        {
            "tenant": row.tenant_id,
            "customer": row.customer_id,
            "currency": row.currency,
            "balance": _value(row.balance),
            "grants": [
                _columns(each, "kind", "unit", "amount", "remaining", "held", "effective_at", "expires_at", "description")
                for each in grants
                if each.wallet_id == row.id
            ],
            "movements": [
                _columns(each, "at", "kind", "amount", "balance_after", "unit", "invoice_id", "description")
                for each in moves
                if each.wallet_id == row.id
            ],
        }
        for row in _rows(session, WalletRow, "tenant_id", "customer_id", "currency")
    ]  # fmt: skip


def _adjustments(session: Session) -> list[dict[str, Any]]:
    rows = _rows(session, AdjustmentRow, "month", "tenant_id", "customer_id", "description", "created_at")
    names = (
        "tenant_id",
        "customer_id",
        "month",
        "description",
        "unit",
        "currency",
        "amount",
        "status",
        "reason",
    )
    return [_columns(row, *names) for row in rows]


def _credit_notes(session: Session) -> list[dict[str, Any]]:
    names = (
        "tenant_id",
        "customer_id",
        "number",
        "status",
        "reason",
        "subtotal",
        "discount",
        "tax",
        "total",
        "applied",
    )
    rows = _rows(session, CreditNoteRow, "tenant_id", "number")
    return [_columns(row, *names) for row in rows]


def _alerts(session: Session) -> list[dict[str, Any]]:
    rows = _rows(session, AlertRow, "at", "id")
    return [_columns(row, "at", "tenant_id", "kind", "customer_id", "message") for row in rows]


def _rows(session: Session, table: Any, *order: str) -> list[Any]:
    return list(session.scalars(select(table).order_by(*(getattr(table, name) for name in order))))


def _columns(row: Any, *names: str) -> dict[str, Any]:
    told = {name: on_the_wire(name.removesuffix("_id") if name in _IDS else name) for name in names}
    return {told[name]: _value(getattr(row, name)) for name in names}


_IDS = ("tenant_id", "customer_id", "invoice_id")


def _named(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {told: _value(row[name]) for name, told in names.items() if name in row}


def _frame(lake: Lake, name: str) -> list[dict[str, Any]]:
    order = ("month", "tenant_id", "customer_id", "subscription_id", "line_order", "line_id")
    rows = lake.scan(name)
    sort = [key for key in order if key in TABLES[name].schema]
    return [_value(row) for row in rows.sort(sort, nulls_last=True).collect().to_dicts()]


def _value(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): _value(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_value(each) for each in value]
    return value
