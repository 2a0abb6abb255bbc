"""Rate plans. Put here: creating, editing, drafting, publishing and archiving them, and which version is pinned. Keep out:
what a plan may say (domain.catalog), what it costs (storage.services.plan_prices), HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from domain.catalog.fields import FieldProblem, Fields
from domain.catalog.plan_diff import plan_differences
from domain.catalog.plan_documents import READ_ONLY, plan_document
from domain.catalog.plans import RatePlan
from storage.repositories.offerings import OfferingRepository
from storage.repositories.paging import PageQuery, contains, keyset
from storage.repositories.plans import PlanRepository
from storage.services.differences import differences, no_expectation
from storage.services.plan_reading import PlanReader
from storage.services.plan_views import (
    DRAFT,
    PUBLISHED,
    CurrencyFixed,
    PlanNotPublished,
    PlanView,
    RatePlanArchived,
    RatePlanInUse,
    RatePlanNotFound,
    VersionPublished,
    view_of,
    view_of_draft,
    view_of_version,
)
from storage.services.sent import keeps_id, merged, require, with_id
from storage.tables.catalog import RatePlanRow
from storage.tenancy import Tx

ALIASES = {"key": "id", "metrics": "metricConfigs", "minSpend": "minimumSpend", "maxSpend": "maximumSpend"}
Expect = Callable[[str, int], None]
_SORTABLE = {
    "name": RatePlanRow.name,
    "createdAt": RatePlanRow.created_at,
    "updatedAt": RatePlanRow.updated_at,
    "id": RatePlanRow.id,
}


def pinned_version(session: Session, tenant_id: str, plan_id: str, starts_at: datetime) -> int:
    """The version that a subscription starting at this instant pins: of those effective then the latest.

    The plan is not archived meanwhile. Raises RatePlanNotFound, RatePlanArchived, PlanNotPublished.
    """
    plans = PlanRepository(session, tenant_id)
    row = plans.get(plan_id, share=True)
    if row is None:
        raise RatePlanNotFound(plan_id)
    if row.archived_at is not None:
        raise RatePlanArchived(plan_id)
    version = plans.version_at(plan_id, starts_at)
    if version is None:
        raise PlanNotPublished(plan_id, starts_at)
    return version


class RatePlans:
    """One tenant's rate plans."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._plans = PlanRepository(tx.session, tx.tenant_id)
        self._reader = PlanReader(tx)

    def create(self, sent: Mapping[str, Any]) -> PlanView:
        """A new plan, published as version 1 at once unless `status` DRAFT is sent.

        Raises FieldProblem, CatalogRefused, RatePlanExists.
        """
        require(sent, "name")
        body, status = _with_status(with_id(sent, "rpl", "id", "key"))
        plan = self._reader.read(body)
        content = plan.content(self._reader.units())
        self._plans.add(plan, self._tx.at)
        if status == DRAFT:
            self._plans.save_draft(plan.key, content, self._tx.at)
        else:
            self._plans.publish(plan.key, content, self._tx.at)
        self._tx.record("RATE_PLAN_CREATED", "ratePlan", plan.key, _made(plan, content, status or PUBLISHED))
        return self.get(plan.key)

    def get(self, plan_id: str) -> PlanView:
        """Archived ones too. Raises RatePlanNotFound."""
        row = self._plans.get(plan_id)
        if row is None:
            raise RatePlanNotFound(plan_id)
        return self.views([row])[0]

    def page(
        self,
        query: PageQuery,
        *,
        name: str | None = None,
        currency: str | None = None,
        include_archived: bool = False,
    ) -> tuple[list[PlanView], int, str | None]:
        """A page of plans by name, how many there are, and the next page's cursor. Raises FieldProblem."""
        listed = self._plans.listed()
        if name is not None:
            listed = listed.where(contains(RatePlanRow.name, name))
        if currency is not None:
            listed = listed.where(RatePlanRow.currency == currency.upper())
        if not include_archived:
            listed = listed.where(RatePlanRow.archived_at.is_(None))
        rows, total, following = keyset(self._tx.session, listed, _SORTABLE, query)
        return self.views(rows), total, following

    def views(self, rows: list[RatePlanRow]) -> list[PlanView]:
        """The plans of these rows, two queries for all of them."""
        ids = [row.id for row in rows]
        latest, drafts = self._plans.latest(ids), self._plans.drafts(ids)
        return [view_of(row, latest.get(row.id), drafts.get(row.id)) for row in rows]

    def edit(
        self, plan_id: str, sent: Mapping[str, Any], expect: Expect = no_expectation, *, whole: bool = False
    ) -> PlanView:
        """Change the fields sent, null clears one; whole: the body is the plan. Other prices are a new version, published at
        once, or the draft where `status` DRAFT is sent or nothing is published yet. Running subscriptions stay on theirs.

        Raises RatePlanNotFound, RatePlanArchived, StaleEdit, FieldProblem, CurrencyFixed.
        """
        keeps_id(sent, plan_id, "id", "key")
        before = self._live(plan_id, expect)
        after, status = self._changed(before, sent, whole=whole)
        if after == before.plan:
            return before
        if replace(after, description=None) != replace(before.plan, description=None):
            content = after.content(self._reader.units())
            if status == DRAFT or before.status == DRAFT:
                self._plans.save_draft(plan_id, content, self._tx.at)
            else:
                self._plans.publish(plan_id, content, self._tx.at)
        named = {"name": after.name} if before.status == DRAFT or status != DRAFT else {}
        self._plans.edited(plan_id, self._tx.at, description=after.description, **named)
        self._tx.record("RATE_PLAN_UPDATED", "ratePlan", plan_id, _changes(before, after))
        return self.get(plan_id)

    def archive(self, plan_id: str, expect: Expect = no_expectation) -> None:
        """Take it out of the lists; its versions stay for what pinned them. Archived already: nothing happens.

        Raises RatePlanNotFound, StaleEdit, RatePlanInUse.
        """
        row = self._locked(plan_id, expect)
        if row.archived_at is not None:
            return
        offerings = self._plans.offerings_over(plan_id)
        live = OfferingRepository(self._tx.session, self._tx.tenant_id).live_subscriptions(
            offerings, self._tx.at, plan_id
        )
        if live:
            raise RatePlanInUse(plan_id, offerings, live)
        self._plans.edited(plan_id, self._tx.at, archived_at=self._tx.at)
        self._tx.record("RATE_PLAN_ARCHIVED", "ratePlan", plan_id)

    def versions(self, plan_id: str) -> list[PlanView]:
        """The draft, if there is one, and all published versions, the latest first. Raises RatePlanNotFound."""
        row = self._row(plan_id)
        published = self._plans.versions(plan_id)
        draft = self._plans.draft(plan_id)
        number = (published[0].version if published else 0) + 1
        found = [view_of_draft(row, draft, number)] if draft else []
        return found + [view_of_version(row, version) for version in published]

    def version(self, plan_id: str, number: int) -> PlanView:
        """A published version, or the draft. Raises RatePlanNotFound."""
        row = self._row(plan_id)
        published = self._plans.version(plan_id, number)
        if published is not None:
            return view_of_version(row, published)
        draft = self._plans.draft(plan_id)
        if draft is None or number != (self._plans.latest_number(plan_id) or 0) + 1:
            raise RatePlanNotFound(plan_id, number)
        return view_of_draft(row, draft, number)

    def diff(self, plan_id: str, before: int, after: int) -> dict[str, dict[str, Any]]:
        """`{path: {before, after}}` of two versions, either of which may be the draft. Raises RatePlanNotFound."""
        return plan_differences(self._content(plan_id, before), self._content(plan_id, after))

    def make_draft(self, plan_id: str, sent: Mapping[str, Any], expect: Expect = no_expectation) -> PlanView:
        """A draft of the next version in place of any before it: the latest version with the fields sent on top.

        Raises RatePlanNotFound, RatePlanArchived, StaleEdit, FieldProblem, CurrencyFixed.
        """
        keeps_id(sent, plan_id, "id", "key")
        latest = self._live(plan_id, expect)
        return self._save_draft(latest, self._changed(latest, sent)[0])

    def edit_draft(
        self,
        plan_id: str,
        number: int,
        sent: Mapping[str, Any],
        expect: Expect = no_expectation,
        *,
        whole: bool,
    ) -> PlanView:
        """Change the draft. Raises what `make_draft` does, and VersionPublished for a version that is no draft any more."""
        keeps_id(sent, plan_id, "id", "key")
        self._live(plan_id, expect)
        draft = self._draft(plan_id, number)
        return self._save_draft(draft, self._changed(draft, sent, whole=whole)[0])

    def publish(
        self, plan_id: str, number: int, effective_at: datetime | None, expect: Expect = no_expectation
    ) -> PlanView:
        """Publish the draft, with its units as they are defined now. effective_at: only subscriptions that start then or later
        pin it; None: every new one does.

        Raises RatePlanNotFound, RatePlanArchived, StaleEdit, VersionPublished, and FieldProblem where a unit is gone.
        """
        before = self._live(plan_id, expect)
        plan = self._draft(plan_id, number).plan
        self._reader.check(plan, "metricConfigs")
        content = plan.content(self._reader.units())
        self._plans.publish(plan_id, content, self._tx.at, effective_at)
        self._plans.drop_draft(plan_id)
        self._plans.edited(plan_id, self._tx.at, name=plan.name)
        changes = _changes(before, plan) | {
            "version": {"before": None, "after": number},
            "effectiveAt": {"before": None, "after": effective_at and effective_at.isoformat()},
        }
        self._tx.record("RATE_PLAN_PUBLISHED", "ratePlan", plan_id, changes)
        return self.version(plan_id, number)

    def _save_draft(self, before: PlanView, plan: RatePlan) -> PlanView:
        plan_id = plan.key
        self._plans.save_draft(plan_id, plan.content(self._reader.units()), self._tx.at)
        self._plans.edited(plan_id, self._tx.at)
        self._tx.record("RATE_PLAN_DRAFTED", "ratePlan", plan_id, _changes(before, plan))
        return self.version(plan_id, (self._plans.latest_number(plan_id) or 0) + 1)

    def _changed(
        self, before: PlanView, sent: Mapping[str, Any], *, whole: bool = False
    ) -> tuple[RatePlan, str | None]:
        """The plan with what was sent, and the status asked for."""
        plan = before.plan
        stored = {"id": plan.key, "currency": plan.currency} if whole else plan_document(plan, before.names)
        body, status = _with_status(merged(stored, sent, ALIASES))
        require(body, "name")
        after = self._reader.read(body, known={price.unit for price in plan.prices})
        if after.currency != plan.currency:
            raise CurrencyFixed(plan.key, plan.currency, after.currency)
        return after, status

    def _draft(self, plan_id: str, number: int) -> PlanView:
        found = self.version(plan_id, number)
        if found.status != DRAFT:
            raise VersionPublished(plan_id, number)
        return found

    def _content(self, plan_id: str, number: int) -> dict[str, Any]:
        view = self.version(plan_id, number)
        published = self._plans.version(plan_id, number)
        draft = self._plans.draft(plan_id)
        content = published.content if published else draft.content if draft else {}
        assert content, view
        return content

    def _live(self, plan_id: str, expect: Expect) -> PlanView:
        row = self._locked(plan_id, expect)
        if row.archived_at is not None:
            raise RatePlanArchived(plan_id)
        return self.views([row])[0]

    def _locked(self, plan_id: str, expect: Expect) -> RatePlanRow:
        row = self._plans.get(plan_id, lock=True)
        if row is None:
            raise RatePlanNotFound(plan_id)
        expect(f"rate plan {plan_id}", row.revision)
        return row

    def _row(self, plan_id: str) -> RatePlanRow:
        row = self._plans.get(plan_id)
        if row is None:
            raise RatePlanNotFound(plan_id)
        return row


def _with_status(sent: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """The body without what only answers say, and the status it asks for."""
    fields = Fields({"status": sent.get("status")}, "")
    status = None
    if fields.has("status"):
        status = fields.choice("status", (DRAFT, PUBLISHED, "ACTIVE", "ARCHIVED"))
        if status == "ARCHIVED":
            raise FieldProblem("status", "cannot be set to ARCHIVED; DELETE the rate plan instead")
    body = {name: value for name, value in sent.items() if name not in READ_ONLY}
    return body, status


def _made(plan: RatePlan, content: Mapping[str, Any], status: str) -> dict[str, Any]:
    return {"": {"before": None, "after": {"description": plan.description, "status": status, **content}}}


def _changes(before: PlanView, after: RatePlan) -> dict[str, Any]:
    return differences(plan_document(before.plan, {}), plan_document(after, {}))
