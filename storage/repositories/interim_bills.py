"""Interim invoices. Put here: which there are of a period, and the terms that give back what they billed. Keep out: cutting them
(services.threshold_invoices), the lines (transforms.interim_lines)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.errors import Conflict
from domain.invoice_life import DRAFT, REISSUE, VOID
from storage.repositories.among import among
from storage.repositories.invoice_content import structs_of
from storage.tables.corrections import InterimBillRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow
from transforms.interim_lines import LINE_TYPE, given_back

_Bill = tuple[InterimBillRow, InvoiceRow]


class InterimNotDeducted(Conflict):
    """A draft does not give back what the interim invoices of its period billed, or gives back what none billed. A void invoice
    made anew cannot be billed again."""

    code = "INTERIM_NOT_DEDUCTED"
    exit_code = 3

    def __init__(self, number: str, month: str, *, is_reissue: bool = False) -> None:
        what = (
            "bill what is missing with a one-off invoice"
            if is_reissue
            else f"bill {month} again, then issue it"
        )
        super().__init__(f"invoice {number}: interim invoices were cut or voided since it was made; {what}")


class InterimDeducted(Conflict):
    """An interim invoice that a closing bill has counted in."""

    code = "INTERIM_DEDUCTED"
    exit_code = 3

    def __init__(self, number: str, closing: str) -> None:
        super().__init__(
            f"invoice {number}: the closing invoice {closing} has given it back already; credit it with a credit note instead"
        )


def line_ids(invoice_id: str) -> str:
    """What the ids of the lines that give an interim invoice back begin with."""
    return f"int_{sha256(invoice_id.encode()).hexdigest()[:20]}"


def standing(
    session: Session, tenant_id: str, customers: Collection[str] | None = None, *, lock: bool = False
) -> dict[tuple[str, datetime], list[_Bill]]:
    """The interim invoices that are not void, by subscription and start of the period, in order. lock: nobody voids one of them
    until the transaction ends; what somebody else is voiding just now is waited for."""
    bill, invoice = InterimBillRow, InvoiceRow
    query = (
        select(bill, invoice)
        .join(invoice, (invoice.tenant_id == bill.tenant_id) & (invoice.id == bill.invoice_id))
        .where(bill.tenant_id == tenant_id, invoice.status != VOID)
        .order_by(bill.subscription_id, bill.period_start, bill.number)
    )
    if customers is not None:
        query = query.where(among(invoice.customer_id, customers))
    if lock:
        query = query.with_for_update(read=True, of=invoice).execution_options(populate_existing=True)
    found: dict[tuple[str, datetime], list[_Bill]] = defaultdict(list)
    for row, of_row in session.execute(query).tuples():
        found[(row.subscription_id, row.period_start.astimezone(UTC))].append((row, of_row))
    return found


def interim_terms(
    session: Session,
    tenant_id: str,
    of_month: Sequence[Mapping[str, Any]],
    customers: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows of BILLING_TERMS that give back what interim invoices billed of the periods due in the month: one for each of them and
    way of being taxed. of_month: the tenant's other terms of the month, of these customers (None: of all)."""
    usage = [row for row in of_month if row["due"] and row["kind"] == "USAGE"]
    if not usage:
        return []
    bills = standing(session, tenant_id, customers)
    if not bills:
        return []
    templates: dict[tuple[str, datetime], Mapping[str, Any]] = {}
    for row in usage:
        templates.setdefault((row["subscription_id"], row["period_start"].astimezone(UTC)), row)
    found: list[dict[str, Any]] = []
    for period, template in templates.items():
        own: list[dict[str, Any]] = []
        for _, invoice in bills.get(period, ()):
            said = f"Billed already with interim invoice {invoice.number}"
            own += given_back(_lines(session, invoice), template, line_ids(invoice.id), said, len(own))
        found += own
    return found


def billed_before(session: Session, bills: Sequence[_Bill]) -> dict[str, tuple[Decimal, Decimal, int]]:
    """By line: charged before tax, quantity and events on these interim invoices."""
    if not bills:
        return {}
    line = InvoiceLineRow
    of_bills = line.invoice_id.in_([invoice.id for _, invoice in bills])
    sums = (func.sum(line.amount), func.coalesce(func.sum(line.quantity), 0), func.sum(line.events))
    query = select(line.line_id, *sums).where(line.tenant_id == bills[0][0].tenant_id, of_bills)
    return {
        line_id: (amount, quantity, events)
        for line_id, amount, quantity, events in session.execute(query.group_by(line.line_id))
    }


def require_deducted(session: Session, row: InvoiceRow) -> None:
    """See that a draft gives back exactly what interim invoices of its periods billed. Raises InterimNotDeducted."""
    line = InvoiceLineRow
    mine = line.tenant_id == row.tenant_id, line.invoice_id == row.id
    query = (
        select(line.subscription_id, line.period_start).where(*mine, line.line_type == "USAGE_FEE").distinct()
    )
    periods = {(name, start.astimezone(UTC)) for name, start in session.execute(query) if start is not None}
    bills = standing(session, row.tenant_id, [row.customer_id], lock=True)
    due = {
        line_ids(invoice.id)
        for period in periods
        for _, invoice in bills.get(period, ())
        if invoice.currency == row.currency
    }
    given = select(line.line_id).where(*mine, line.line_type == LINE_TYPE, line.line_id.startswith("int_"))
    if due != {each.rpartition("_")[0] for each in session.scalars(given)}:
        raise InterimNotDeducted(row.number, row.month, is_reissue=row.kind == REISSUE)


def require_not_deducted(session: Session, row: InvoiceRow) -> None:
    """See that no closing bill counts on an interim invoice (locked) that is about to become void: none that is issued, nor the
    draft of one made anew, which no run corrects. Raises InterimDeducted."""
    line, other = InvoiceLineRow, InvoiceRow
    query = (
        select(other.number)
        .join(line, (line.tenant_id == other.tenant_id) & (line.invoice_id == other.id))
        .where(
            other.tenant_id == row.tenant_id,
            line.line_id.startswith(line_ids(row.id)),
            other.status != VOID,
            (other.status != DRAFT) | (other.kind == REISSUE),
        )
    )
    closing = session.scalars(query.limit(1)).one_or_none()
    if closing is not None:
        raise InterimDeducted(row.number, closing)


def _lines(session: Session, invoice: InvoiceRow) -> list[dict[str, Any]]:
    line = InvoiceLineRow
    query = select(line).where(line.tenant_id == invoice.tenant_id, line.invoice_id == invoice.id)
    return [
        {
            "line_id": row.line_id,
            "amount": row.amount,
            "currency": row.currency,
            "taxes": structs_of("taxes", row.taxes),
        }
        for row in session.scalars(query.order_by(line.line_order, line.line_id))
    ]
