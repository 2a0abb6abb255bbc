"""What earlier bills of a term came to. Put here: reading it from the invoices. Keep out: what a commitment makes of it
(domain.commitment)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from domain.commitment import DRAW, OVERAGE, PREPAYMENT
from domain.invoice_life import THRESHOLD, VOID
from storage.tables.corrections import AdjustmentRow
from storage.tables.invoices import InvoiceLineRow, InvoiceRow

Spent = tuple[Decimal, Decimal]
Own = Callable[[str, str | None], bool]
_ZERO = Decimal(0)


class _Line(NamedTuple):
    """What a line of a period came to."""

    start: datetime
    line_id: str
    unit: str | None
    spent: Decimal
    taken: Decimal


class EarlierBills:
    """One tenant's billed periods, as far as they are on an invoice that stands."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._known: dict[str, list[_Line]] = {}

    def of(
        self,
        customer_id: str,
        subscription_id: str,
        periods: Iterable[datetime],
        own: Own | None = None,
    ) -> dict[datetime, Spent]:
        """(charged, drawn) of those of the customer's subscription's periods, given by their start, that are billed. own: which lines
        count, by id and unit."""
        if subscription_id not in self._known:
            self._known[subscription_id] = self._read(customer_id, subscription_id)
        wanted = set(periods)
        found: dict[datetime, Spent] = {}
        for each in self._known[subscription_id]:
            if each.start not in wanted:
                continue
            spent, taken = found.get(each.start, (_ZERO, _ZERO))
            if own is None or own(each.line_id, each.unit):
                spent, taken = spent + each.spent, taken + each.taken
            found[each.start] = (spent, taken)
        return found

    def charged(self, customer_id: str, line_id: str) -> Decimal | None:
        """What a line came to after discounts, before tax that is added, with what was put right since; None: it is on no invoice."""
        line, row = InvoiceLineRow, AdjustmentRow
        billed = (
            select(func.sum(line.amount + line.commit_adjustment - line.discount))
            .join(InvoiceRow, (InvoiceRow.tenant_id == line.tenant_id) & (InvoiceRow.id == line.invoice_id))
            .where(
                InvoiceRow.tenant_id == self._tenant_id, InvoiceRow.customer_id == customer_id, line.line_id == line_id,
                InvoiceRow.status != VOID, InvoiceRow.kind != THRESHOLD,
            )
        )  # fmt: skip
        found = self._session.scalar(billed)
        if found is None:
            return None
        mine = row.tenant_id == self._tenant_id, row.customer_id == customer_id, row.line_id == line_id
        return found + (self._session.scalar(select(func.sum(row.amount)).where(*mine)) or _ZERO)

    def _read(self, customer_id: str, subscription_id: str) -> list[_Line]:
        """What prepayments, draws and overage come to is not spent towards a commitment; a true-up is."""
        line = InvoiceLineRow
        query = (
            select(
                line.period_start, line.line_id, line.unit, *_sums(line.model, line.amount + line.commit_adjustment)
            )
            .join(InvoiceRow, (InvoiceRow.tenant_id == line.tenant_id) & (InvoiceRow.id == line.invoice_id))
            .where(
                # Lines are found by their invoices, and these by their customer.
                InvoiceRow.tenant_id == self._tenant_id,
                InvoiceRow.customer_id == customer_id,
                line.subscription_id == subscription_id,
                line.period_start.is_not(None),
                # What interim invoices billed is in what the period came to as a whole.
                line.line_type.not_in(("ADJUSTMENT", "CREDIT")),
                InvoiceRow.kind != THRESHOLD,
                InvoiceRow.status != VOID,
            )
            .group_by(line.period_start, line.line_id, line.unit)
        )  # fmt: skip
        found = [
            _Line(start.astimezone(UTC), *rest)
            for start, *rest in self._session.execute(query).tuples()
            if start is not None
        ]
        billed = {each.start for each in found}
        return found + [each for each in self._adjusted(customer_id, subscription_id) if each.start in billed]

    def _adjusted(self, customer_id: str, subscription_id: str) -> list[_Line]:
        """What was put right since, whether an invoice carries it yet or not: a month billed again comes to the same."""
        row, line = AdjustmentRow, InvoiceLineRow
        model = (
            select(func.max(line.model))
            .where(line.tenant_id == row.tenant_id, line.line_id == row.line_id)
            .correlate(row)
            .scalar_subquery()
        )
        query = (
            select(row.period_start, row.line_id, row.unit, *_sums(model, row.amount))
            .where(
                row.tenant_id == self._tenant_id,
                row.customer_id == customer_id,
                row.subscription_id == subscription_id,
            )
            .group_by(row.period_start, row.line_id, row.unit)
        )
        return [_Line(start.astimezone(UTC), *rest) for start, *rest in self._session.execute(query).tuples()]


def _sums(model: Any, amount: Any) -> tuple[Any, Any]:
    """What was charged towards a commitment, and what was drawn from it."""
    known = func.coalesce(model, "")
    charged = func.sum(case((known.in_([DRAW, OVERAGE, PREPAYMENT]), _ZERO), else_=amount))
    drawn = func.sum(case((known == DRAW, -amount), else_=_ZERO))
    return charged, drawn
