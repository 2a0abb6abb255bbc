"""Offerings. Put here: creating, editing, activating and archiving them, and what may not change under subscribers. Keep out:
subscriptions, prices, HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from domain.access import Feature
from domain.bundles import TWICE, priced_twice
from domain.catalog.fields import CatalogRefused, FieldProblem, Fields
from domain.catalog.offerings import LEGAL_MOVES, Offering, offering_document, read_offering
from domain.errors import Conflict, NotFound
from storage.repositories.catalog import CatalogRepository
from storage.repositories.offerings import OfferingRepository, offering_of
from storage.repositories.paging import PageQuery, contains, keyset
from storage.repositories.plans import PlanRepository
from storage.services.differences import differences, no_expectation
from storage.services.plan_reading import PlanReader
from storage.services.plan_views import RatePlanArchived
from storage.services.sent import keeps_id, merged, new_id, require
from storage.tables.catalog import OfferingRow
from storage.tenancy import Tx

ACTIVE, ARCHIVED = "ACTIVE", "ARCHIVED"
ALIASES = {
    "key": "code", "ratePlan": "primaryRatePlanId", "primaryRatePlan": "primaryRatePlanId", "ratePlans": "ratePlanIds",
    "features": "entitlements", "escrow": "escrowConfig",
}  # fmt: skip
_ANSWERED = ("id", "createdAt", "updatedAt", "archivedAt", "revision")
Expect = Callable[[str, int], None]
_SORTABLE = {
    "name": OfferingRow.name,
    "createdAt": OfferingRow.created_at,
    "updatedAt": OfferingRow.updated_at,
    "id": OfferingRow.id,
}


class OfferingNotFound(NotFound):
    code = "OFFERING_NOT_FOUND"

    def __init__(self, code: str) -> None:
        super().__init__(f"offering {code!r} does not exist")


class OfferingInUse(Conflict):
    """Live subscriptions rest on what would change."""

    code = "OFFERING_IN_USE"

    def __init__(self, code: str, what: str, subscriptions: list[str]) -> None:
        super().__init__(
            f"offering {code!r}: {what}, because it has live subscriptions ({', '.join(subscriptions)})"
        )


class OfferingStateConflict(Conflict):
    code = "OFFERING_STATE_CONFLICT"

    def __init__(self, code: str, before: str, after: str) -> None:
        legal = " or ".join(LEGAL_MOVES[before]) or "nothing else"
        super().__init__(f"offering {code!r} is {before}; it can become {legal}, not {after}")


class OfferingNotSellable(Conflict):
    code = "OFFERING_NOT_ACTIVE"

    def __init__(self, code: str, status: str) -> None:
        super().__init__(f"offering {code!r} is {status}; only ACTIVE offerings take new subscriptions")


class NothingToSell(Conflict):
    """An offering on sale must have prices."""

    code = "RATE_PLAN_NOT_PUBLISHED"

    def __init__(self, code: str, plan: str) -> None:
        super().__init__(
            f"offering {code!r} cannot be ACTIVE: rate plan {plan!r} has no published version; publish one first"
        )


def sellable_offering(session: Session, tenant_id: str, code: str) -> Offering:
    """The offering, for a new subscription to it; it neither changes nor is archived before the transaction ends.

    Raises OfferingNotFound, OfferingNotSellable.
    """
    row = OfferingRepository(session, tenant_id).get(code, share=True)
    if row is None:
        raise OfferingNotFound(code)
    if row.status != ACTIVE:
        raise OfferingNotSellable(code, row.status)
    return offering_of(row)


class Offerings:
    """One tenant's offerings."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._offerings = OfferingRepository(tx.session, tx.tenant_id)
        self._plans = PlanRepository(tx.session, tx.tenant_id)
        self._reader = PlanReader(tx)

    def create(self, sent: Mapping[str, Any]) -> OfferingRow:
        """A new offering, ACTIVE unless another status is sent. Raises FieldProblem, CatalogRefused, OfferingExists,
        RatePlanArchived, NothingToSell."""
        require(sent, "name")
        body = {name: value for name, value in sent.items() if name not in _ANSWERED}
        if sent.get("id") is not None and body.get("code", body.get("key")) is None:
            body["code"] = sent["id"]
        if not any(body.get(name) is not None for name in ("code", "key")):
            body["code"] = new_id("off")
        offering = self._read(body)
        self._check_plans(offering)
        row = self._offerings.add(offering, self._tx.at)
        if offering.status == ARCHIVED:
            self._offerings.edited(offering, self._tx.at, self._tx.at)
        changes = differences({}, offering_document(offering))
        self._tx.record("OFFERING_CREATED", "offering", row.id, changes)
        return self.get(row.id)

    def get(self, code: str) -> OfferingRow:
        """Archived ones too. Raises OfferingNotFound."""
        row = self._offerings.get(code)
        if row is None:
            raise OfferingNotFound(code)
        self._tx.session.refresh(row)
        return row

    def page(
        self,
        query: PageQuery,
        *,
        name: str | None = None,
        wanted: Mapping[str, str | None] | None = None,
        include_archived: bool = False,
    ) -> tuple[list[OfferingRow], int, str | None]:
        """A page of offerings by name, how many there are, and the next page's cursor. wanted: columns to values.

        Raises FieldProblem.
        """
        listed = self._offerings.listed()
        exact = {column: value for column, value in (wanted or {}).items() if value is not None}
        listed = listed.filter_by(**exact)
        if name is not None:
            listed = listed.where(contains(OfferingRow.name, name))
        if not include_archived and exact.get("status") != ARCHIVED:
            listed = listed.where(OfferingRow.status != ARCHIVED)
        return keyset(self._tx.session, listed, _SORTABLE, query)

    def edit(
        self, code: str, sent: Mapping[str, Any], expect: Expect = no_expectation, *, whole: bool = False
    ) -> OfferingRow:
        """Change the fields sent, null clears one; whole: the body is the offering.

        Raises OfferingNotFound, StaleEdit, FieldProblem, CatalogRefused, OfferingStateConflict, OfferingInUse, RatePlanArchived,
        NothingToSell.
        """
        keeps_id(sent, code, "id", "code", "key")
        before = offering_of(self._locked(code, expect))
        stored = {"code": code, "currency": before.currency, "status": before.status}
        after = self._read(_merged(stored if whole else offering_document(before), sent))
        return self._save(before, after, "OFFERING_UPDATED")

    def activate(self, code: str, expect: Expect = no_expectation) -> OfferingRow:
        """Put it on sale. Raises OfferingNotFound, StaleEdit, OfferingStateConflict, NothingToSell."""
        before = offering_of(self._locked(code, expect))
        return self._save(before, replace(before, status=ACTIVE), "OFFERING_ACTIVATED")

    def close(self, code: str, expect: Expect = no_expectation) -> OfferingRow:
        """Take it off sale for good; running subscriptions go on. Raises OfferingNotFound, StaleEdit."""
        before = offering_of(self._locked(code, expect))
        return self._save(before, replace(before, status=ARCHIVED), "OFFERING_ARCHIVED")

    def archive(self, code: str, expect: Expect = no_expectation) -> None:
        """Delete it, which archives it. Raises OfferingNotFound, StaleEdit, OfferingInUse."""
        row = self._locked(code, expect)
        live = self._live(code)
        if live:
            raise OfferingInUse(code, "cannot be deleted", live)
        before = offering_of(row)
        self._save(before, replace(before, status=ARCHIVED), "OFFERING_ARCHIVED")

    def _save(self, before: Offering, after: Offering, action: str) -> OfferingRow:
        changes = differences(offering_document(before), offering_document(after))
        if not changes:
            return self.get(before.code)
        if after.status != before.status and after.status not in LEGAL_MOVES[before.status]:
            raise OfferingStateConflict(before.code, before.status, after.status)
        self._guard(before, after)
        if (after.plans, after.status) != (before.plans, before.status) and after.status != ARCHIVED:
            self._check_plans(after)
        row = self._offerings.get(before.code)
        archived_at = row.archived_at if row is not None else None
        if after.status == ARCHIVED and archived_at is None:
            archived_at = self._tx.at
        self._offerings.edited(after, self._tx.at, archived_at)
        self._tx.record(action, "offering", before.code, changes)
        return self.get(before.code)

    def _guard(self, before: Offering, after: Offering) -> None:
        """What subscribers were sold stays: plans may be added, none removed; the currency and billing mode stay."""
        removed = [plan for plan in before.plans if plan not in after.plans]
        if removed:
            what = f"rate plan {removed[0]!r} cannot be removed"
        elif before.plan != after.plan:
            what = f"the primary rate plan cannot change from {before.plan!r} to {after.plan!r}"
        elif before.currency != after.currency:
            what = f"the currency cannot change from {before.currency} to {after.currency}"
        elif before.billing_mode != after.billing_mode:
            what = f"the billing mode cannot change from {before.billing_mode} to {after.billing_mode}"
        else:
            return
        if live := self._live(before.code):
            raise OfferingInUse(before.code, what, live)

    def _read(self, body: Mapping[str, Any]) -> Offering:
        """The offering within the tenant's catalog. The currency, where none is sent, is the primary plan's."""
        fields = Fields(body, "")
        tenant = CatalogRepository(self._tx.session, self._tx.tenant_id).tenant()
        assert tenant is not None, "the door let an unknown tenant in"
        sent = fields.raw("primaryRatePlanId", "ratePlan", "primaryRatePlan")[1]
        primary = self._plans.get(sent) if isinstance(sent, str) and "\0" not in sent else None
        words = self._reader.words()
        offering = read_offering(Fields(body, ""), primary.currency if primary else tenant.currency)
        features = tuple(_with_unit(feature, words) for feature in offering.features)
        offering = replace(offering, features=features)
        if problems := list(self._problems(offering)):
            raise CatalogRefused(problems)
        return offering

    def _problems(self, offering: Offering) -> Iterator[FieldProblem]:
        for index, plan_id in enumerate(offering.plans):
            path = "primaryRatePlanId" if not index else "ratePlanIds"
            plan = self._plans.get(plan_id)
            if plan is None:
                what = f"{plan_id!r} is no rate plan of this tenant; create it, or correct the id"
                yield FieldProblem(path, what)
            elif plan.currency != offering.currency:
                what = f"{offering.currency} is not {plan.currency}, the currency of rate plan {plan_id!r}"
                yield FieldProblem("currency", what)
        latest = self._plans.latest(offering.plans) if offering.further_plans else {}
        priced = {
            plan: [price["unit"] for price in latest[plan].content["prices"]]
            for plan in offering.plans
            if plan in latest
        }
        twice = priced_twice(priced)
        if twice is not None:
            yield FieldProblem("ratePlanIds", TWICE.format(*twice))
        for index, feature in enumerate(offering.features):
            if feature.unit is not None and feature.unit not in self._reader.units():
                what = f"{feature.unit!r} is no metric of this tenant; create it, or correct the name"
                yield FieldProblem(f"entitlements[{index}].metricId", what)

    def _check_plans(self, offering: Offering) -> None:
        for plan_id in offering.plans:
            plan = self._plans.get(plan_id, share=True)
            if plan is not None and plan.archived_at is not None:
                raise RatePlanArchived(plan_id)
            if offering.status == ACTIVE and self._plans.latest_number(plan_id) is None:
                raise NothingToSell(offering.code, plan_id)

    def _locked(self, code: str, expect: Expect) -> OfferingRow:
        row = self._offerings.get(code, lock=True)
        if row is None:
            raise OfferingNotFound(code)
        expect(f"offering {code}", row.revision)
        return row

    def _live(self, code: str) -> list[str]:
        at: datetime = self._tx.at
        return self._offerings.live_subscriptions([code], at)


def _merged(stored: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored with what was sent on top. A new primary plan alone replaces the old one in the list, too."""
    body = merged(stored, {name: value for name, value in sent.items() if name != "id"}, ALIASES)
    names = {ALIASES.get(name, name) for name in sent}
    if "primaryRatePlanId" in names and "ratePlanIds" not in names and "ratePlanIds" in body:
        body["ratePlanIds"] = [plan for plan in body["ratePlanIds"] if plan != stored["primaryRatePlanId"]]
    if "type" in names and "ratePlanIds" not in names and body.get("type") != "BUNDLE":
        body.pop("ratePlanIds", None)
    return body


def _with_unit(feature: Feature, words: Mapping[str, str]) -> Feature:
    return replace(feature, unit=words.get(feature.unit.lower(), feature.unit)) if feature.unit else feature
