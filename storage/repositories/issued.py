"""Invoices as PostgreSQL has them, for the lake. Put here: reading a scope's invoices and issued lines. Keep out: writing.

The lake follows PostgreSQL, not the other way round: what was issued stays as it was issued, also where a rerun would now come
to another sum.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from domain.invoice_life import DRAFT, PERIOD
from storage.repositories.invoice_content import LINE, STRUCTS, structs_of
from storage.scope import Scope
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from transforms.frames import INVOICE_LINES, INVOICES


def invoices_of(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """Rows of INVOICES: every invoice of the scope but those a rerun has withdrawn, and drafts no run made."""
    columns = [
        (InvoiceRow.id if name == "invoice_id" else getattr(InvoiceRow, name)).label(name)
        for name in INVOICES.schema
    ]
    made_by_a_run = or_(InvoiceRow.kind == PERIOD, InvoiceRow.status != DRAFT)
    query = (
        _within(select(*columns), scope)
        .where(made_by_a_run)
        .order_by(InvoiceRow.tenant_id, InvoiceRow.customer_id, InvoiceRow.id)
    )
    return [dict(row) for row in session.execute(query).mappings()]


def issued_lines(session: Session, scope: Scope) -> list[dict[str, Any]]:
    """Rows of INVOICE_LINES: the lines of the scope's invoices that are drafts no more."""
    of_line = {name: getattr(InvoiceLineRow, name) for name in (*LINE, "tenant_id", "invoice_id")}
    of_invoice = {name: getattr(InvoiceRow, name) for name in ("month", "customer_id", "number")}
    columns = [(of_line | of_invoice)[name].label(name) for name in INVOICE_LINES.schema]
    joined = select(*columns).join(
        InvoiceRow,
        (InvoiceRow.tenant_id == InvoiceLineRow.tenant_id) & (InvoiceRow.id == InvoiceLineRow.invoice_id),
    )
    query = (
        _within(joined, scope)
        .where(InvoiceRow.status != DRAFT)
        .order_by(InvoiceLineRow.tenant_id, InvoiceLineRow.line_id)
    )
    return [
        {**row, **{name: structs_of(name, row[name]) for name in STRUCTS}}
        for row in session.execute(query).mappings()
    ]


def _within(query: Select[Any], scope: Scope) -> Select[Any]:
    query = query.where(InvoiceRow.month == scope.month, InvoiceRow.withdrawn.is_(False))
    if scope.tenants:
        query = query.where(InvoiceRow.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(InvoiceRow.customer_id.in_(scope.customers))
    return query
