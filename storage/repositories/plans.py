"""Rate plans as rows. Put here: finding and saving a tenant's plans, their versions and drafts. Keep out: what may change
(storage.services.rate_plans)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from domain.catalog.plans import RatePlan, content_hash
from domain.errors import Conflict
from storage.tables.catalog import OfferingRow, RatePlanRow, RatePlanVersionRow
from storage.tables.pricing import RatePlanDraftRow


class RatePlanExists(Conflict):
    """Another rate plan already has this id."""

    code = "RATE_PLAN_EXISTS"

    def __init__(self, plan_id: str) -> None:
        super().__init__(f"id: {plan_id!r} already is a rate plan; choose another, or edit that one")


class PlanRepository:
    """One tenant's rate plans; no method sees another tenant's rows."""

    def __init__(self, session: Session, tenant_id: str) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def get(self, plan_id: str, *, lock: bool = False, share: bool = False) -> RatePlanRow | None:
        """The plan. lock: nobody else edits, publishes or pins it before this transaction ends; share: nobody edits it."""
        query = select(RatePlanRow).where(RatePlanRow.tenant_id == self._tenant_id, RatePlanRow.id == plan_id)
        if lock or share:
            query = query.with_for_update(read=share).execution_options(populate_existing=True)
        return self._session.scalar(query)

    def listed(self) -> Select[Any]:
        """The tenant's plans, to be narrowed down and paged."""
        return select(RatePlanRow).where(RatePlanRow.tenant_id == self._tenant_id)

    def add(self, plan: RatePlan, at: datetime) -> RatePlanRow:
        """A new plan without any version. Raises RatePlanExists."""
        values = {"name": plan.name, "description": plan.description, "currency": plan.currency}
        times = {"created_at": at, "updated_at": at}
        row = insert(RatePlanRow).values(tenant_id=self._tenant_id, id=plan.key, **values, **times)
        try:
            with self._session.begin_nested():
                self._session.execute(row)
        except IntegrityError:
            raise RatePlanExists(plan.key) from None
        found = self.get(plan.key)
        assert found is not None
        return found

    def edited(self, plan_id: str, at: datetime, **values: Any) -> None:
        """Set columns of the plan; it is one revision on."""
        self._session.execute(
            update(RatePlanRow)
            .where(RatePlanRow.tenant_id == self._tenant_id, RatePlanRow.id == plan_id)
            .values(revision=RatePlanRow.revision + 1, updated_at=at, **values)
        )

    def publish(
        self, plan_id: str, content: dict[str, Any], at: datetime | None, effective_at: datetime | None = None
    ) -> int:
        """The content as the plan's next version; its number. Lock the plan first. at: None is the database's now."""
        number = (self.latest_number(plan_id) or 0) + 1
        values = {"content": content, "content_hash": content_hash(content), "effective_at": effective_at}
        if at is not None:
            values["created_at"] = at
        self._session.execute(
            insert(RatePlanVersionRow).values(
                tenant_id=self._tenant_id, plan_id=plan_id, version=number, **values
            )
        )
        return number

    def versions(self, plan_id: str) -> list[RatePlanVersionRow]:
        """All versions of a plan, the latest first."""
        query = select(RatePlanVersionRow).where(*self._of(plan_id))
        return list(self._session.scalars(query.order_by(RatePlanVersionRow.version.desc())))

    def version(self, plan_id: str, number: int) -> RatePlanVersionRow | None:
        """One version."""
        query = select(RatePlanVersionRow).where(*self._of(plan_id), RatePlanVersionRow.version == number)
        return self._session.scalar(query)

    def latest(self, plan_ids: Collection[str]) -> dict[str, RatePlanVersionRow]:
        """The latest version of each of the plans that has one."""
        newest = (
            select(RatePlanVersionRow.plan_id, func.max(RatePlanVersionRow.version))
            .where(RatePlanVersionRow.tenant_id == self._tenant_id, RatePlanVersionRow.plan_id.in_(plan_ids))
            .group_by(RatePlanVersionRow.plan_id)
        )
        query = select(RatePlanVersionRow).where(
            RatePlanVersionRow.tenant_id == self._tenant_id,
            tuple_(RatePlanVersionRow.plan_id, RatePlanVersionRow.version).in_(newest),
        )
        return {row.plan_id: row for row in self._session.scalars(query)}

    def latest_number(self, plan_id: str) -> int | None:
        """Number of the latest version; None: none is published."""
        return self._session.scalar(select(func.max(RatePlanVersionRow.version)).where(*self._of(plan_id)))

    def version_at(self, plan_id: str, starts_at: datetime) -> int | None:
        """The version a subscription that starts at this instant pins: the latest that is effective then; None: none is."""
        effective = RatePlanVersionRow.effective_at
        query = select(func.max(RatePlanVersionRow.version)).where(
            *self._of(plan_id), or_(effective.is_(None), effective <= starts_at)
        )
        return self._session.scalar(query)

    def draft(self, plan_id: str) -> RatePlanDraftRow | None:
        """The plan's draft, if it has one."""
        return self._session.get(RatePlanDraftRow, (self._tenant_id, plan_id), populate_existing=True)

    def drafts(self, plan_ids: Collection[str]) -> dict[str, RatePlanDraftRow]:
        """The drafts of those of the plans that have one."""
        query = select(RatePlanDraftRow).where(
            RatePlanDraftRow.tenant_id == self._tenant_id, RatePlanDraftRow.plan_id.in_(plan_ids)
        )
        return {row.plan_id: row for row in self._session.scalars(query)}

    def save_draft(self, plan_id: str, content: dict[str, Any], at: datetime) -> None:
        """Make the draft, or replace its content."""
        statement = upsert(RatePlanDraftRow).values(
            tenant_id=self._tenant_id, plan_id=plan_id, content=content, created_at=at, updated_at=at
        )
        changed = {"content": content, "updated_at": at}
        keys = ["tenant_id", "plan_id"]
        self._session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))

    def drop_draft(self, plan_id: str) -> None:
        """Forget the draft, if there is one."""
        mine = (RatePlanDraftRow.tenant_id == self._tenant_id, RatePlanDraftRow.plan_id == plan_id)
        self._session.execute(delete(RatePlanDraftRow).where(*mine))

    def offerings_over(self, plan_id: str) -> list[str]:
        """Ids of the offerings that sell the plan."""
        sells = or_(OfferingRow.plan_id == plan_id, OfferingRow.further_plans.contains([plan_id]))
        query = select(OfferingRow.id).where(OfferingRow.tenant_id == self._tenant_id, sells)
        return list(self._session.scalars(query.order_by(OfferingRow.id)))

    def _of(self, plan_id: str) -> tuple[Any, Any]:
        return (RatePlanVersionRow.tenant_id == self._tenant_id, RatePlanVersionRow.plan_id == plan_id)
