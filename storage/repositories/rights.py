"""Rights for hot state. Put here: what a tenant's catalog and contracts let its customers do. Keep out: Redis."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.access import CustomerRights, FilterCondition, SubscriptionRights, TenantRights, UnitRecord
from domain.catalog.offerings import Offering
from domain.instant import micros
from domain.limits import Limit, write_limit
from domain.period import Schedule
from domain.quantity import plain
from domain.terms import Contract
from domain.usage_limits import limited_features
from storage.repositories.among import among
from storage.repositories.catalog import CatalogRepository
from storage.repositories.contracts import Grant, grants
from storage.repositories.keys import ApiKeys
from storage.tables.catalog import RatePlanVersionRow, UnitRow
from storage.tables.customers import CustomerRow, SubscriptionRow
from storage.tables.money import WalletRow
from storage.tables.tenants import TenantRow

_AROUND = (-1, 0, 1)
"""Late events of the period before, and events of the next before this snapshot is refreshed."""


def tenant_rights(session: Session, tenant_id: str, as_of: datetime) -> TenantRights:
    """Everything the edge needs of a tenant as of an instant: units, live keys, and what live subscriptions grant.

    Periods: the one before `as_of`, the one around it, the next, as far as the subscription is live in them.
    """
    return TenantRights(
        tenant_id=tenant_id,
        units=unit_records(session, tenant_id),
        customers=tuple(customer_rights(session, tenant_id, None, as_of).values()),
        keys=ApiKeys(session, tenant_id).live(as_of),
    )


def unit_records(session: Session, tenant_id: str) -> tuple[UnitRecord, ...]:
    """The units events may name: those of a live tenant that are not archived."""
    query = (
        select(UnitRow)
        .join(TenantRow, TenantRow.id == UnitRow.tenant_id)
        .where(UnitRow.tenant_id == tenant_id, UnitRow.archived_at.is_(None), TenantRow.archived_at.is_(None))
    )
    return tuple(
        UnitRecord(
            key=row.id,
            name=row.name,
            aggregation=row.aggregation,
            event_field=row.event_field,
            allow_negative=row.allow_negative,
            filters=tuple(FilterCondition(**condition) for condition in row.filters),
        )
        for row in session.scalars(query.order_by(UnitRow.id))
    )


def customer_rights(
    session: Session, tenant_id: str, customers: Collection[str] | None, as_of: datetime
) -> dict[str, CustomerRights]:
    """What these customers (None: all) may do as of an instant; those archived or not there are left out."""
    known = live_customers(session, tenant_id, customers)
    granted: dict[str, list[SubscriptionRights]] = {customer: [] for customer in known}
    found = grants(session, tenant_id, customers, as_of) if known else []
    codes = {grant.contract.offering for grant in found}
    offerings = CatalogRepository(session, tenant_id).offerings(codes) if codes else {}
    limits = _rate_limits(session, tenant_id, {grant.contract.terms.plan for grant in found})
    balances = _balances(session, tenant_id, [grant.contract for grant in found])
    for grant in found:
        contract = grant.contract
        if contract.customer_id in granted:
            rights = _rights(grant, offerings[contract.offering], as_of)
            limit = limits.get((contract.terms.plan, contract.terms.version))
            if limit is not None:
                rights = replace(rights, rate_limit=limit)
            if contract.escrow is not None:
                left = balances.get((contract.customer_id, contract.terms.currency), Decimal(0))
                rights = replace(rights, unfunded="" if left > 0 else contract.escrow, balance=plain(left))
            granted[contract.customer_id].append(rights)
    return {customer: CustomerRights(customer, tuple(rights)) for customer, rights in granted.items()}


def _rate_limits(session: Session, tenant_id: str, plans: Collection[str]) -> dict[tuple[str, int], str]:
    """The limits of requests in versions of these plans, by (plan, version)."""
    if not plans:
        return {}
    table = RatePlanVersionRow
    query = select(table.plan_id, table.version, table.content["rateLimit"]).where(
        table.tenant_id == tenant_id, table.plan_id.in_(plans), table.content.has_key("rateLimit")
    )
    return {
        (plan, version): write_limit(Limit(sent["requests"], sent["burst"], window=sent["windowSeconds"]))
        for plan, version, sent in session.execute(query)
    }


def _balances(
    session: Session, tenant_id: str, contracts: Collection[Contract]
) -> dict[tuple[str, str], Decimal]:
    """What the wallets of the prepaid contracts hold, by (customer, currency)."""
    prepaid = {contract.customer_id for contract in contracts if contract.escrow is not None}
    if not prepaid:
        return {}
    query = (
        select(WalletRow.customer_id, WalletRow.currency, func.sum(WalletRow.balance))
        .where(WalletRow.tenant_id == tenant_id, among(WalletRow.customer_id, prepaid))
        .where(WalletRow.archived_at.is_(None))
        .group_by(WalletRow.customer_id, WalletRow.currency)
    )
    return {(customer, currency): left for customer, currency, left in session.execute(query)}


def live_customers(session: Session, tenant_id: str, customers: Collection[str] | None = None) -> list[str]:
    """Those of these customers (None: all) the edge knows, in order."""
    query = (
        select(CustomerRow.id)
        .join(TenantRow, TenantRow.id == CustomerRow.tenant_id)
        .where(CustomerRow.tenant_id == tenant_id)
        .where(CustomerRow.archived_at.is_(None), TenantRow.archived_at.is_(None))
    )
    if customers is not None:
        query = query.where(among(CustomerRow.id, customers))
    return list(session.scalars(query.order_by(CustomerRow.id)))


def customers_of_offerings(session: Session, tenant_id: str, offerings: Collection[str]) -> list[str]:
    """The customers who hold, or held, one of these offerings."""
    query = select(SubscriptionRow.customer_id).distinct()
    return list(
        session.scalars(
            query.where(SubscriptionRow.tenant_id == tenant_id, among(SubscriptionRow.offering_id, offerings))
        )
    )


def _rights(grant: Grant, offering: Offering, as_of: datetime) -> SubscriptionRights:
    contract = grant.contract
    return SubscriptionRights(
        subscription_id=contract.subscription_id,
        offering=contract.offering,
        plan=contract.terms.plan,
        status=grant.status,
        periods=tuple(_periods(contract.schedule, contract.starts_at, contract.ends_at, as_of)),
        features=limited_features(offering.features, contract.limits),
        units=contract.terms.units,
    )


def _periods(
    schedule: Schedule, starts_at: datetime, ends_at: datetime | None, as_of: datetime
) -> Iterator[tuple[int, int]]:
    """Periods in epoch microseconds. A start is the period's own, because counters are named by it; an end is cut off
    where the subscription ends, so that its rights end even if no snapshot follows."""
    now = schedule.index_at(as_of)
    for step in _AROUND:
        period = schedule.period(now + step)
        end = period.end if ends_at is None else min(period.end, ends_at)
        if period.start < end and starts_at < end:
            yield micros(period.start), micros(end)
