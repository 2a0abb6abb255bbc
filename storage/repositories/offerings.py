"""Offerings as rows. Put here: finding and saving a tenant's offerings, and who is subscribed to them. Keep out: what may
change (storage.services.offerings)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Select, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.access import Feature
from domain.catalog.offerings import Offering, escrow_content, escrow_of
from domain.errors import Conflict
from storage.tables.catalog import OfferingRow
from storage.tables.customers import SubscriptionRow

OVER = ("EXPIRED", "CANCELLED")
"""States in which a subscription is over for good."""


class OfferingExists(Conflict):
    """Another offering already has this code."""

    code = "OFFERING_EXISTS"

    def __init__(self, code: str) -> None:
        super().__init__(f"code: {code!r} already is an offering; choose another, or edit that one")


def offering_of(row: OfferingRow) -> Offering:
    """The offering a row holds."""
    return Offering(
        code=row.id,
        name=row.name,
        plan=row.plan_id,
        currency=row.currency,
        type=row.type,
        status=row.status,
        billing_mode=row.billing_mode,
        trial_days=row.trial_days,
        description=row.description,
        features=tuple(Feature(**feature) for feature in row.entitlements),
        further_plans=tuple(row.further_plans),
        escrow=escrow_of(row.escrow),
        fx_strategy=row.fx_strategy,
    )


def offering_values(offering: Offering) -> dict[str, Any]:
    """The columns that hold an offering."""
    return {
        "name": offering.name,
        "description": offering.description,
        "type": offering.type,
        "status": offering.status,
        "plan_id": offering.plan,
        "billing_mode": offering.billing_mode,
        "currency": offering.currency,
        "trial_days": offering.trial_days,
        "entitlements": [asdict(feature) for feature in offering.features],
        "further_plans": list(offering.further_plans),
        "escrow": escrow_content(offering.escrow) if offering.escrow else None,
        "fx_strategy": offering.fx_strategy,
    }


class OfferingRepository:
    """One tenant's offerings; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def get(self, code: str, *, lock: bool = False, share: bool = False) -> OfferingRow | None:
        """The offering. lock: nobody else edits it or subscribes to it before this transaction ends; share: nobody edits it."""
        query = select(OfferingRow).where(OfferingRow.tenant_id == self._tenant_id, OfferingRow.id == code)
        if lock or share:
            query = query.with_for_update(read=share).execution_options(populate_existing=True)
        return self._session.scalar(query)

    def listed(self) -> Select[Any]:
        """The tenant's offerings, to be narrowed down and paged."""
        return select(OfferingRow).where(OfferingRow.tenant_id == self._tenant_id)

    def add(self, offering: Offering, at: datetime) -> OfferingRow:
        """Raises OfferingExists."""
        values = offering_values(offering) | {"created_at": at, "updated_at": at}
        row = insert(OfferingRow).values(tenant_id=self._tenant_id, id=offering.code, **values)
        try:
            with self._session.begin_nested():
                self._session.execute(row)
        except IntegrityError:
            raise OfferingExists(offering.code) from None
        found = self.get(offering.code)
        assert found is not None
        return found

    def edited(self, offering: Offering, at: datetime, archived_at: datetime | None) -> None:
        """The offering as it now is, one revision on."""
        self._session.execute(
            update(OfferingRow)
            .where(OfferingRow.tenant_id == self._tenant_id, OfferingRow.id == offering.code)
            .values(
                **offering_values(offering),
                revision=OfferingRow.revision + 1,
                updated_at=at,
                archived_at=archived_at,
            )
        )

    def live_subscriptions(
        self, codes: Collection[str], at: datetime, plan_id: str | None = None, first: int = 20
    ) -> list[str]:
        """Ids of the first subscriptions that are not over and hold any of the offerings, or pin the plan."""
        not_over = (
            SubscriptionRow.status.not_in(OVER),
            or_(SubscriptionRow.ends_at.is_(None), SubscriptionRow.ends_at > at),
        )
        concerned = SubscriptionRow.offering_id.in_(codes)
        if plan_id is not None:
            concerned = or_(concerned, SubscriptionRow.plan_id == plan_id)
        query = select(SubscriptionRow.id).where(
            SubscriptionRow.tenant_id == self._tenant_id, concerned, *not_over
        )
        return list(self._session.scalars(query.order_by(SubscriptionRow.id).limit(first)))
