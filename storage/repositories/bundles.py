"""The further rate plans of bundles. Put here: which version of them a subscription has. Keep out: what they charge
(domain.bundles).

A subscription names the version of its first plan. Of the others it has the latest one that was published and in force when its
offering was agreed; versions and phases are never changed, so that this stays what it was.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from domain.bundles import bundled
from domain.terms import PlanTerms, plan_terms, unbillable_terms
from storage.repositories.among import among
from storage.tables.catalog import OfferingRow, RatePlanVersionRow
from storage.tables.subscriptions import SubscriptionPhaseRow


class Bundles:
    """One tenant's bundles, read once; nothing is read where there are none. subscriptions: those it will be asked about; None: any."""

    def __init__(
        self, session: Session, tenant_id: str, subscriptions: Collection[str] | None = None
    ) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._subscriptions = subscriptions
        offering = OfferingRow
        sold = select(offering.id, offering.further_plans).where(
            offering.tenant_id == tenant_id, offering.further_plans != []
        )
        self._further: dict[str, list[str]] = dict(session.execute(sold).tuples().all())
        self._versions = self._published() if self._further else {}
        self._agreed = self._agreed_at() if self._further else {}

    def is_one(self, offering: str) -> bool:
        return offering in self._further

    def of_subscription(
        self, subscription_id: str, offering: str, primary: PlanTerms, starts_at: datetime
    ) -> PlanTerms:
        """All terms of a subscription's stretch that began at `starts_at`, given those of its first plan."""
        agreed = self._agreed.get((subscription_id, offering, primary.version))
        return self.of_offering(offering, primary, starts_at, agreed)

    def of_offering(
        self, offering: str, primary: PlanTerms, starts_at: datetime, agreed_at: datetime | None = None
    ) -> PlanTerms:
        """All terms of an offering agreed at an instant (None: now) from `starts_at` on; of one plan, just these."""
        further = []
        for plan in self._further.get(offering, ()):
            version = self._version(plan, starts_at, agreed_at)
            if version is None:
                return unbillable_terms(
                    primary, f"rate plan {plan} of its bundle, published after it was agreed,"
                )
            further.append(plan_terms(plan, version.version, version.content))
        return bundled(primary, further) if further else primary

    def _version(
        self, plan: str, starts_at: datetime, agreed_at: datetime | None
    ) -> RatePlanVersionRow | None:
        known = [
            row
            for row in self._versions.get(plan, ())
            if (agreed_at is None or row.created_at <= agreed_at)
            and (row.effective_at is None or row.effective_at <= starts_at)
        ]
        return max(known, key=lambda row: row.version, default=None)

    def _published(self) -> dict[str, list[RatePlanVersionRow]]:
        plans = sorted({plan for further in self._further.values() for plan in further})
        row = RatePlanVersionRow
        query = select(row).where(row.tenant_id == self._tenant_id, row.plan_id.in_(plans))
        found: dict[str, list[RatePlanVersionRow]] = {}
        for each in self._session.scalars(query):
            found.setdefault(each.plan_id, []).append(each)
        return found

    def _agreed_at(self) -> dict[tuple[str, str, int], datetime]:
        """When a subscription's offering, at this version of its first plan, was first recorded."""
        row = SubscriptionPhaseRow
        key = (row.subscription_id, row.offering_id, row.plan_version)
        query = select(*key, func.min(row.recorded_at)).where(
            row.tenant_id == self._tenant_id, row.offering_id.in_(list(self._further))
        )
        if self._subscriptions is not None:
            query = query.where(among(row.subscription_id, self._subscriptions))
        return {
            (one, other, number): at for one, other, number, at in self._session.execute(query.group_by(*key))
        }
