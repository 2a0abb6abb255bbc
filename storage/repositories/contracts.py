"""Subscriptions as billing and the edge see them. Put here: phases, plan versions and issuers put together. Keep out: prices
(domain.terms), what may be done with a subscription (services)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.catalog.offerings import Escrow, escrow_of
from domain.period import Schedule
from domain.phases import Phase, Stretch, granted, stretches, timeline
from domain.spend_limit import stored_spend_limit
from domain.terms import Contract, PlanTerms, free_terms
from domain.usage_limits import stored_limits
from storage.repositories.bundles import Bundles
from storage.repositories.catalog import CatalogRepository
from storage.repositories.subscriptions import Subscriptions, agreement_of
from storage.tables.catalog import OfferingRow
from storage.tables.subscriptions import SubscriptionRow
from storage.tables.tenants import BillingEntityRow

_History = tuple[SubscriptionRow, list[Phase]]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a subscription lets its customer do at an instant. ends_at: when it stops, as far as is known."""

    status: str
    contract: Contract


def contracts(session: Session, tenant_id: str, customers: Collection[str] | None = None) -> list[Contract]:
    """All subscriptions, or those of the customers, as billing needs them: a contract for each stretch of time with one
    offering and plan version, on trial or paid for. By customer, subscription and time."""
    histories = _histories(session, tenant_id, customers)
    making = _Making(session, tenant_id, None if customers is None else histories)
    return [contract for row, phases in histories for contract in making.of_stretches(row, stretches(phases))]


def grants(
    session: Session, tenant_id: str, customers: Collection[str] | None, as_of: datetime
) -> list[Grant]:
    """What the subscriptions (None: of all customers) grant at the instant."""
    histories = _histories(session, tenant_id, customers)
    if not histories:
        return []
    making = _Making(session, tenant_id, None if customers is None else histories)
    found = []
    for row, phases in histories:
        current = granted(phases, as_of)
        if current is not None:
            phase, ends_at = current
            stretch = Stretch(phase.offering, phase.plan, phase.version, False, row.starts_at, ends_at)
            found.append(Grant(phase.state, making.of_stretch(row, stretch, ())))
    return found


def _histories(session: Session, tenant_id: str, customers: Collection[str] | None) -> list[_History]:
    """Each subscription with its phases, those to come included."""
    repository = Subscriptions(session, tenant_id)
    rows = repository.rows(customers)
    recorded = repository.phases(None if customers is None else [row.id for row in rows])
    return [(row, timeline(recorded[row.id], agreement_of(row))) for row in rows]


class _Making:
    """What contracts need besides their subscription, read once. histories: of those it is for (None: any of the tenant)."""

    def __init__(self, session: Session, tenant_id: str, histories: Collection[_History] | None) -> None:
        plans = None if histories is None else {phase.plan for _, phases in histories for phase in phases}
        self._versions = CatalogRepository(session, tenant_id).versions(plans)
        self._free: dict[tuple[str, int], PlanTerms] = {}
        self._rounding = dict(
            session.execute(
                select(BillingEntityRow.id, BillingEntityRow.rounding).where(
                    BillingEntityRow.tenant_id == tenant_id
                )
            )
            .tuples()
            .all()
        )
        sold = select(OfferingRow.id, OfferingRow.billing_mode, OfferingRow.escrow)
        offerings = session.execute(sold.where(OfferingRow.tenant_id == tenant_id)).tuples().all()
        self._modes = {offering: mode for offering, mode, _ in offerings}
        self._escrows = {
            offering: (escrow_of(agreed) or Escrow()).behavior
            for offering, mode, agreed in offerings
            if mode == "PREPAID"
        }
        mine = None if histories is None else [row.id for row, _ in histories]
        self._bundles = Bundles(session, tenant_id, mine)

    def of_stretches(self, row: SubscriptionRow, found: list[Stretch]) -> Iterator[Contract]:
        for place, stretch in enumerate(found):
            earlier = tuple(each.ends_at for each in found[:place] if each.ends_at is not None)
            opens = not stretch.free and all(each.free for each in found[:place])
            contract = self.of_stretch(row, stretch, earlier, opens=opens)
            yield replace(contract, pieces=_pieces(found, place))

    def of_stretch(
        self, row: SubscriptionRow, stretch: Stretch, earlier: tuple[datetime, ...], *, opens: bool = False
    ) -> Contract:
        return Contract(
            tenant_id=row.tenant_id,
            customer_id=row.customer_id,
            subscription_id=row.id,
            schedule=Schedule(row.start_date, row.billing_cycle, row.anchor_day, row.time_zone),
            starts_at=stretch.starts_at,
            ends_at=stretch.ends_at,
            offering=stretch.offering,
            billing_mode=self._modes[stretch.offering],
            billing_entity=row.billing_entity_id,
            rounding=self._rounding[row.billing_entity_id],
            terms=self._terms(row.id, stretch),
            earlier_ends=earlier,
            opens=opens,
            escrow=self._escrows.get(stretch.offering),
            limits=stored_limits(row.usage_limits),
            spend_limit=stored_spend_limit(row.spend_limit),
        )

    def _terms(self, subscription_id: str, stretch: Stretch) -> PlanTerms:
        pin = (stretch.plan, stretch.version)
        if self._bundles.is_one(stretch.offering):
            whole = self._bundles.of_subscription(
                subscription_id, stretch.offering, self._versions[pin], stretch.starts_at
            )
            return free_terms(whole) if stretch.free else whole
        if not stretch.free:
            return self._versions[pin]
        if pin not in self._free:
            self._free[pin] = free_terms(self._versions[pin])
        return self._free[pin]


def _pieces(found: list[Stretch], place: int) -> tuple[tuple[datetime, datetime | None], ...]:
    """When the agreement of a stretch was in force: those around it, without one of another agreement between them."""
    first = last = place
    while first and _agreement(found[first - 1]) == _agreement(found[place]):
        first -= 1
    while last + 1 < len(found) and _agreement(found[last + 1]) == _agreement(found[place]):
        last += 1
    return tuple((each.starts_at, each.ends_at) for each in found[first : last + 1])


def _agreement(stretch: Stretch) -> tuple[str, str, int, bool]:
    return stretch.offering, stretch.plan, stretch.version, stretch.free
