"""Rate plans as they are seen, and what stands in the way of changing them. Put here: views of rows, failures. Keep out: changes
(storage.services.rate_plans), JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.catalog.plans import RatePlan, plan_of
from domain.catalog.pricing_warnings import Warning, warnings_of
from domain.errors import Conflict, NotFound
from storage.tables.catalog import RatePlanRow, RatePlanVersionRow
from storage.tables.pricing import RatePlanDraftRow

PUBLISHED, DRAFT = "PUBLISHED", "DRAFT"


class RatePlanNotFound(NotFound):
    code = "RATE_PLAN_NOT_FOUND"

    def __init__(self, plan_id: str, version: int | None = None) -> None:
        what = f"rate plan {plan_id!r}" + ("" if version is None else f" has no version {version};")
        super().__init__(f"{what} does not exist" if version is None else f"{what} see its versions")


class RatePlanArchived(Conflict):
    code = "RATE_PLAN_ARCHIVED"

    def __init__(self, plan_id: str) -> None:
        super().__init__(f"rate plan {plan_id!r} is archived; it can be neither changed nor sold any more")


class RatePlanInUse(Conflict):
    """Live subscriptions are billed by it."""

    code = "RATE_PLAN_IN_USE"

    def __init__(self, plan_id: str, offerings: list[str], subscriptions: list[str]) -> None:
        by = f"offerings {', '.join(offerings)}; live subscriptions {', '.join(subscriptions)}"
        super().__init__(f"rate plan {plan_id!r} cannot be archived: it is sold by {by}. End those first")


class VersionPublished(Conflict):
    """What subscriptions may pin never changes."""

    code = "VERSION_PUBLISHED"

    def __init__(self, plan_id: str, version: int) -> None:
        super().__init__(
            f"version {version} of rate plan {plan_id!r} is published and never changes; make a new version "
            f"(POST /api/v1/rateplans/{plan_id}/versions) and publish that"
        )


class PlanNotPublished(Conflict):
    """Nothing of the plan could be pinned."""

    code = "RATE_PLAN_NOT_PUBLISHED"

    def __init__(self, plan_id: str, at: datetime | None = None) -> None:
        when = f" that is effective at {at.isoformat()}" if at else ""
        super().__init__(f"rate plan {plan_id!r} has no published version{when}; publish one first")


class CurrencyFixed(Conflict):
    code = "CURRENCY_FIXED"

    def __init__(self, plan_id: str, before: str, after: str) -> None:
        what = f"currency: rate plan {plan_id!r} cannot change from {before} to {after}"
        super().__init__(f"{what}; make a new plan instead")


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as its latest version says, or its draft where none is published. version: of that content; draft: the draft's
    number, if there is one. names: of its units. warnings: what is legal but odd about it."""

    row: RatePlanRow
    plan: RatePlan
    names: Mapping[str, str]
    version: int
    status: str
    draft: int | None = None
    published_at: datetime | None = None
    effective_at: datetime | None = None

    @property
    def warnings(self) -> list[Warning]:
        return warnings_of(self.plan)


def view_of(row: RatePlanRow, latest: RatePlanVersionRow | None, draft: RatePlanDraftRow | None) -> PlanView:
    if latest is not None:
        view = view_of_version(row, latest)
        return replace(view, draft=latest.version + 1) if draft else view
    assert draft is not None, f"rate plan {row.id} has neither a version nor a draft"
    return view_of_draft(row, draft, 1)


def view_of_version(row: RatePlanRow, version: RatePlanVersionRow) -> PlanView:
    return PlanView(
        row,
        plan_of(row.id, row.description, version.content),
        _names(version.content),
        version.version,
        PUBLISHED,
        published_at=version.created_at,
        effective_at=version.effective_at,
    )


def view_of_draft(row: RatePlanRow, draft: RatePlanDraftRow, number: int) -> PlanView:
    plan = plan_of(row.id, row.description, draft.content)
    return PlanView(row, plan, _names(draft.content), number, DRAFT, draft=number)


def _names(content: Mapping[str, Any]) -> dict[str, str]:
    return {price["unit"]: price["unitName"] for price in content["prices"]}
