"""Subscriptions. Put here: loading and saving them, and as contracts to bill. Keep out: what they charge (domain.terms)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from domain.period import Schedule
from domain.subscription import Subscription
from domain.terms import Contract
from storage.repositories.catalog import CatalogRepository
from storage.tables.catalog import OfferingRow
from storage.tables.customers import SubscriptionRow
from storage.tables.tenants import BillingEntityRow


class Subscriptions:
    """One tenant's subscriptions."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def all(self) -> dict[str, Subscription]:
        return {
            row.id: Subscription(
                id=row.id,
                customer=row.customer_id,
                offering=row.offering_id,
                start_date=row.start_date,
                end_date=row.end_date,
                billing_cycle=row.billing_cycle,
                anchor_day=row.anchor_day,
            )
            for row in self.rows()
        }

    def rows(self) -> list[SubscriptionRow]:
        query = select(SubscriptionRow).where(SubscriptionRow.tenant_id == self._tenant_id)
        return list(self._session.scalars(query.order_by(SubscriptionRow.customer_id, SubscriptionRow.id)))

    def pinned(self) -> dict[str, tuple[str, int]]:
        """The plan and version each subscription pins."""
        return {row.id: (row.plan_id, row.plan_version) for row in self.rows()}

    def change_end(self, subscription: Subscription, time_zone: str) -> None:
        """Set when it ends; all else of a running subscription stays as agreed."""
        self._session.execute(
            update(SubscriptionRow)
            .where(SubscriptionRow.tenant_id == self._tenant_id, SubscriptionRow.id == subscription.id)
            .values(end_date=subscription.end_date, ends_at=subscription.ends_at(time_zone))
        )

    def start(
        self,
        subscriptions: Iterable[Subscription],
        *,
        time_zones: Mapping[str, str],
        pins: Mapping[str, tuple[str, int]],
        billing_entity: str,
    ) -> None:
        """Save new ones. time_zones: of each customer. pins: plan and version of each subscription."""
        rows = [
            {
                "tenant_id": self._tenant_id,
                "id": each.id,
                "customer_id": each.customer,
                "offering_id": each.offering,
                "plan_id": pins[each.id][0],
                "plan_version": pins[each.id][1],
                "billing_entity_id": billing_entity,
                "status": "ACTIVE",
                "start_date": each.start_date,
                "end_date": each.end_date,
                "starts_at": each.starts_at(time_zones[each.customer]),
                "ends_at": each.ends_at(time_zones[each.customer]),
                "billing_cycle": each.billing_cycle,
                "anchor_day": each.anchor_day,
                "time_zone": time_zones[each.customer],
            }
            for each in subscriptions
        ]
        if rows:
            self._session.execute(insert(SubscriptionRow), rows)

    def contracts(self, customers: Collection[str] | None = None) -> list[Contract]:
        """All subscriptions, or those of the customers, as billing needs them; by customer and id."""
        versions = CatalogRepository(self._session, self._tenant_id).versions()
        rounding = dict(
            self._session.execute(
                select(BillingEntityRow.id, BillingEntityRow.rounding).where(
                    BillingEntityRow.tenant_id == self._tenant_id
                )
            ).all()
        )
        modes = dict(
            self._session.execute(
                select(OfferingRow.id, OfferingRow.billing_mode).where(
                    OfferingRow.tenant_id == self._tenant_id
                )
            ).all()
        )
        return [
            Contract(
                tenant_id=self._tenant_id,
                customer_id=row.customer_id,
                subscription_id=row.id,
                schedule=Schedule(row.start_date, row.billing_cycle, row.anchor_day, row.time_zone),
                starts_at=row.starts_at,
                ends_at=row.ends_at,
                offering=row.offering_id,
                billing_mode=modes[row.offering_id],
                billing_entity=row.billing_entity_id,
                rounding=rounding[row.billing_entity_id],
                terms=versions[row.plan_id, row.plan_version],
            )
            for row in self.rows()
            if customers is None or row.customer_id in customers
        ]
