"""Whom a bill run is for. Put here: the customers that customers, subscriptions or offerings asked for come to. Keep out: billing."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from domain.catalog.fields import FieldProblem
from storage.repositories.bill_requests import Target
from storage.tables.catalog import OfferingRow
from storage.tables.customers import CustomerRow
from storage.tables.subscriptions import SubscriptionPhaseRow, SubscriptionRow


def target_of(session: Session, tenant_id: str, scope: str, field: str, ids: Sequence[str]) -> Target:
    """A target of existing customers, subscriptions or offerings (by id; scope says which). field: what the ids were sent as.

    Whoever has, or once had, a subscription to an offering is one of its customers: the month decides what is billed. Raises
    FieldProblem naming the id that does not exist, or for whom there is nobody to bill.
    """
    wanted = sorted(set(ids))
    table = {"CUSTOMER": CustomerRow, "SUBSCRIPTION": SubscriptionRow, "OFFERING": OfferingRow}[scope]
    query = select(table.id).where(table.tenant_id == tenant_id, table.id.in_(wanted))
    known = set(session.scalars(query))
    for place, each in enumerate(ids):
        if each not in known:
            raise FieldProblem(f"{field}[{place}]", f"{scope.lower()} {each!r} does not exist")
    if scope == "CUSTOMER":
        return Target(scope, wanted, wanted)
    customers = _customers(session, tenant_id, scope, wanted)
    if not customers:
        raise FieldProblem(field, "nobody has ever subscribed to that; there is nothing to bill")
    return Target(scope, wanted, customers)


def _customers(session: Session, tenant_id: str, scope: str, ids: Sequence[str]) -> list[str]:
    row, phase = SubscriptionRow, SubscriptionPhaseRow
    of_ids: ColumnElement[bool] = row.id.in_(ids)
    if scope == "OFFERING":
        held = select(phase.subscription_id).where(phase.tenant_id == tenant_id, phase.offering_id.in_(ids))
        of_ids = or_(row.offering_id.in_(ids), row.id.in_(held))
    query = select(row.customer_id).where(row.tenant_id == tenant_id, of_ids).distinct()
    return list(session.scalars(query.order_by(row.customer_id)))
