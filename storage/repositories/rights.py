"""Rights for hot state. Put here: what a tenant's catalog and contracts let its customers do. Keep out: Redis."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from domain.access import CustomerRights, SubscriptionRights, TenantRights, UnitRecord
from domain.catalog.offerings import Offering
from domain.period import Schedule
from domain.terms import Contract
from storage.repositories.catalog import CatalogRepository
from storage.repositories.customers import Customers
from storage.repositories.keys import ApiKeys
from storage.repositories.subscriptions import Subscriptions

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AROUND = (-1, 0, 1)
"""Late events of the period before, and events of the next before this snapshot is refreshed."""


def tenant_rights(session: Session, tenant_id: str, as_of: datetime) -> TenantRights:
    """Everything the edge needs of a tenant as of an instant: units, live keys, and what live subscriptions grant.

    Periods: the one before `as_of`, the one around it, the next, as far as the subscription is live in them.
    """
    catalog = CatalogRepository(session, tenant_id)
    offerings = catalog.offerings()
    granted: dict[str, list[SubscriptionRights]] = {key: [] for key in Customers(session, tenant_id).all()}
    for contract in Subscriptions(session, tenant_id).contracts():
        if contract.starts_at <= as_of and (contract.ends_at is None or as_of < contract.ends_at):
            granted[contract.customer_id].append(_rights(contract, offerings[contract.offering], as_of))
    return TenantRights(
        tenant_id=tenant_id,
        units=tuple(
            UnitRecord(
                unit.key, unit.name, unit.aggregation, unit.event_field, unit.allow_negative, unit.filters
            )
            for unit in catalog.units().values()
        ),
        customers=tuple(CustomerRights(customer, tuple(rights)) for customer, rights in granted.items()),
        keys=ApiKeys(session, tenant_id).live(),
    )


def _rights(contract: Contract, offering: Offering, as_of: datetime) -> SubscriptionRights:
    return SubscriptionRights(
        subscription_id=contract.subscription_id,
        offering=contract.offering,
        plan=contract.terms.plan,
        status="ACTIVE",
        periods=tuple(_periods(contract.schedule, contract.starts_at, contract.ends_at, as_of)),
        features=offering.features,
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
            yield _micros(period.start), _micros(end)


def _micros(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
