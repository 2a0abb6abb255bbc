"""How rate plans are shown. Put here: plans, versions, calculated prices as JSON. Keep out: routes, rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from api.control.answers import Told, camel
from domain.catalog.plan_documents import plan_document
from domain.catalog.plan_price import PricedLine, PricedPlan
from domain.catalog.plan_terms import RateLimit
from domain.catalog.plans import RatePlan, rate_limit_content
from domain.catalog.pricing_warnings import Warning
from domain.quantity import plain
from storage.services.plan_views import DRAFT, PlanView

ARCHIVED = "ARCHIVED"


def shown_plan(view: PlanView) -> dict[str, Any]:
    """The plan as its latest version says: the document `read_plan` reads, and where it stands."""
    row = view.row
    return {
        **plan_document(view.plan, view.names),
        "version": view.version,
        "draftVersion": view.draft,
        **camel(
            {
                "status": ARCHIVED if row.archived_at else view.status,
                "published_at": view.published_at,
                "effective_at": view.effective_at,
                "revision": row.revision,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
                "archived_at": row.archived_at,
            }
        ),
    }


def told_plan(view: PlanView) -> Told:
    """The plan, with what is odd about it in `meta.warnings`."""
    return Told(shown_plan(view), {"warnings": [shown_warning(each) for each in view.warnings]})


def shown_version(view: PlanView) -> dict[str, Any]:
    """One version: what it says and since when. Only a draft can be edited, so only it has a revision (the plan's)."""
    times = {"published_at": view.published_at, "effective_at": view.effective_at}
    return {
        **plan_document(view.plan, view.names),
        "version": view.version,
        "status": view.status,
        **camel(times),
        **({"revision": view.row.revision} if view.status == DRAFT else {}),
    }


def told_version(view: PlanView) -> Told:
    """The version, with what is odd about it in `meta.warnings`."""
    return Told(shown_version(view), {"warnings": [shown_warning(each) for each in view.warnings]})


def shown_warning(warning: Warning) -> dict[str, str]:
    return {
        "code": warning.code,
        "field": warning.field.replace("metrics[", "metricConfigs[").replace(".upTo", ".tierEnd"),
        "message": warning.message,
    }


def shown_rate_limit(plan_id: str, limit: RateLimit | None) -> dict[str, Any]:
    """The limit of a plan; all null where it has none."""
    content = rate_limit_content(limit) or dict.fromkeys(("requests", "windowSeconds", "burst"))
    return {"ratePlanId": plan_id, **content}


def shown_prices(plan: RatePlan, priced: PricedPlan) -> dict[str, Any]:
    """A calculation: lines with tiers, and what they come to. Amounts are exact text."""
    return {
        "currency": priced.currency,
        "lines": [_line(line) for line in priced.lines],
        "adjustment": plain(priced.adjustment),
        "total": plain(priced.total),
        "notIncluded": _left_out(plan),
    }


def _line(line: PricedLine) -> dict[str, Any]:
    found = asdict(line) | {"tiers": [asdict(tier) for tier in line.tiers]}
    shown = camel({name: value for name, value in found.items() if name != "unit"})
    return {"metricId": line.unit, **shown}


def _left_out(plan: RatePlan) -> list[str]:
    """Agreed terms that a single period's calculation leaves out; what a commitment adds to it is in `adjustment`."""
    agreed = {
        "setupFee": plan.setup_fee,
        "baseFeeTiming": plan.base_fee_timing == "ADVANCE",
        "dimensionPricing": plan.dimensions or any(price.dimensions for price in plan.prices),
        "rollover": any(price.rollover for price in plan.prices),
    }
    return [name for name, terms in agreed.items() if terms]
