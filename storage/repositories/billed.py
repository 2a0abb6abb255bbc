"""Lines as they were billed, for comparing. Put here: reading them with what was put right since. Keep out: comparing."""

from __future__ import annotations

from typing import Any

import polars as pl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.invoice_life import NOT_BY_A_RUN, VOID
from storage.scope import Scope
from storage.tables.corrections import AdjustmentRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from transforms.compare import BILLED

_OF_INVOICE = ("customer_id", "number", "status")


def billed_lines(session: Session, scope: Scope, *, drafts: bool = True) -> pl.DataFrame:
    """BILLED: the lines of the scope's invoices that are not void; drafts: theirs too."""
    line, invoice = InvoiceLineRow, InvoiceRow
    adjusted = (
        select(func.sum(AdjustmentRow.amount))
        .where(AdjustmentRow.tenant_id == line.tenant_id, AdjustmentRow.line_id == line.line_id)
        .scalar_subquery()
    )
    columns: list[Any] = [
        getattr(invoice if name in _OF_INVOICE else line, name).label(name)
        for name in BILLED
        if name != "adjusted"
    ]
    query = (
        select(*columns, func.coalesce(adjusted, 0).label("adjusted"))
        .join(invoice, (invoice.tenant_id == line.tenant_id) & (invoice.id == line.invoice_id))
        .where(invoice.month == scope.month, invoice.status != VOID, invoice.kind.not_in(NOT_BY_A_RUN))
    )
    if not drafts:
        query = query.where(invoice.status != "DRAFT")
    if scope.tenants:
        query = query.where(invoice.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(invoice.customer_id.in_(scope.customers))
    rows = [dict(row) for row in session.execute(query).mappings()]
    return pl.DataFrame(rows, schema=BILLED)


def voided_invoices(session: Session, scope: Scope) -> list[tuple[str, str]]:
    """(tenant, invoice) of the scope's invoices that somebody voided; those a rerun has withdrawn are not among them."""
    invoice = InvoiceRow
    query = select(invoice.tenant_id, invoice.id).where(
        invoice.month == scope.month,
        invoice.status == VOID,
        invoice.withdrawn.is_(False),
        invoice.kind.not_in(NOT_BY_A_RUN),
    )
    if scope.tenants:
        query = query.where(invoice.tenant_id.in_(scope.tenants))
    if scope.customers:
        query = query.where(invoice.customer_id.in_(scope.customers))
    return list(session.execute(query).tuples())
