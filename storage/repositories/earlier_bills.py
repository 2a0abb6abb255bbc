"""What earlier bills of a term came to. Put here: reading it from the invoices. Keep out: what a commitment makes of it
(domain.commitment)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from domain.commitment import DRAW, OVERAGE, PREPAYMENT
from storage.tables.corrections import AdjustmentRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow

Spent = tuple[Decimal, Decimal]
_ZERO = Decimal(0)


class EarlierBills:
    """One tenant's billed periods, as far as they are on an invoice that stands."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._known: dict[str, dict[datetime, Spent]] = {}

    def of(self, subscription_id: str, periods: Iterable[datetime]) -> dict[datetime, Spent]:
        """(charged, drawn) of those of the periods, given by their start, that are billed."""
        if subscription_id not in self._known:
            self._known[subscription_id] = self._read(subscription_id)
        known = self._known[subscription_id]
        return {start: known[start] for start in periods if start in known}

    def charged(self, line_id: str) -> Decimal | None:
        """What a line came to after discounts, before tax that is added, with what was put right since; None: it is on no invoice."""
        line, row = InvoiceLineRow, AdjustmentRow
        billed = (
            select(func.sum(line.amount + line.commit_adjustment - line.discount))
            .join(InvoiceRow, (InvoiceRow.tenant_id == line.tenant_id) & (InvoiceRow.id == line.invoice_id))
            .where(
                line.tenant_id == self._tenant_id, line.line_id == line_id, InvoiceRow.status != "VOID",
                InvoiceRow.kind != "THRESHOLD",
            )
        )  # fmt: skip
        found = self._session.scalar(billed)
        if found is None:
            return None
        mine = row.tenant_id == self._tenant_id, row.line_id == line_id
        return found + (self._session.scalar(select(func.sum(row.amount)).where(*mine)) or _ZERO)

    def _read(self, subscription_id: str) -> dict[datetime, Spent]:
        """What prepayments, draws and overage come to is not spent towards a commitment; a true-up is."""
        line = InvoiceLineRow
        query = (
            select(line.period_start, *_sums(line.model, line.amount + line.commit_adjustment))
            .join(InvoiceRow, (InvoiceRow.tenant_id == line.tenant_id) & (InvoiceRow.id == line.invoice_id))
            .where(
                line.tenant_id == self._tenant_id,
                line.subscription_id == subscription_id,
                line.period_start.is_not(None),
                # What interim invoices billed is in what the period came to as a whole.
                line.line_type.not_in(("ADJUSTMENT", "CREDIT")),
                InvoiceRow.kind != "THRESHOLD",
                InvoiceRow.status != "VOID",
            )
            .group_by(line.period_start)
        )
        found = {
            start.astimezone(UTC): (spent, taken)
            for start, spent, taken in self._session.execute(query).tuples()
            if start is not None
        }
        for start, spent, taken in self._adjusted(subscription_id):
            before = found.get(start)
            if before is not None:
                found[start] = (before[0] + spent, before[1] + taken)
        return found

    def _adjusted(self, subscription_id: str) -> Iterable[tuple[datetime, Decimal, Decimal]]:
        """What was put right since, whether an invoice carries it yet or not: a month billed again comes to the same."""
        row, line = AdjustmentRow, InvoiceLineRow
        model = (
            select(func.max(line.model))
            .where(line.tenant_id == row.tenant_id, line.line_id == row.line_id)
            .correlate(row)
            .scalar_subquery()
        )
        query = (
            select(row.period_start, *_sums(model, row.amount))
            .where(row.tenant_id == self._tenant_id, row.subscription_id == subscription_id)
            .group_by(row.period_start)
        )
        rows = self._session.execute(query).tuples()
        return [(start.astimezone(UTC), spent, taken) for start, spent, taken in rows]


def _sums(model: Any, amount: Any) -> tuple[Any, Any]:
    """What was charged towards a commitment, and what was drawn from it."""
    known = func.coalesce(model, "")
    charged = func.sum(case((known.in_([DRAW, OVERAGE, PREPAYMENT]), _ZERO), else_=amount))
    drawn = func.sum(case((known == DRAW, -amount), else_=_ZERO))
    return charged, drawn
