"""What a plan would charge. Put here: the calculator and the rate limit of a plan. Keep out: the arithmetic
(domain.catalog.plan_price), saving plans (storage.services.rate_plans)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from domain.catalog.fields import FieldProblem, Fields, shown
from domain.catalog.plan_price import PricedPlan, price_plan
from domain.catalog.plan_terms import RateLimit, rate_limit_of
from domain.catalog.plans import RatePlan, rate_limit_content
from storage.services.differences import no_expectation
from storage.services.rate_plans import Expect, RatePlans
from storage.tenancy import Tx

_MOST_EVENTS = 10_000


class PlanPrices:
    """One tenant's plans as a calculator, and their rate limits."""

    def __init__(self, tx: Tx) -> None:
        self._plans = RatePlans(tx)

    def price(self, plan_id: str, sent: Mapping[str, Any]) -> tuple[RatePlan, PricedPlan]:
        """A full period of the plan for `quantities` (by unit key or name: a number, or a list of the events' quantities),
        by `version` (default: the latest). Raises RatePlanNotFound, FieldProblem."""
        fields = Fields(sent, "")
        number = fields.whole("version", 1, 2**31 - 1)
        view = self._plans.get(plan_id) if number is None else self._plans.version(plan_id, number)
        words = {key.lower(): key for key in view.names} | {
            name.lower(): key for key, name in view.names.items()
        }
        used = _quantities(fields, words)
        fields.done()
        return view.plan, price_plan(view.plan, used)

    def rate_limit(self, plan_id: str) -> RateLimit | None:
        """As the plan's latest version says. Raises RatePlanNotFound."""
        return self._plans.get(plan_id).plan.rate_limit

    def set_rate_limit(
        self, plan_id: str, sent: Mapping[str, Any], expect: Expect = no_expectation
    ) -> RateLimit | None:
        """A new version with this limit and all else as before. Raises what RatePlans.edit does."""
        limit = rate_limit_of(Fields(sent, ""))
        changed = self._plans.edit(plan_id, {"rateLimit": rate_limit_content(limit)}, expect)
        return changed.plan.rate_limit


def _quantities(fields: Fields, words: Mapping[str, str]) -> dict[str, list[Decimal]]:
    name, sent = fields.raw("quantities")
    if not isinstance(sent, Mapping):
        raise FieldProblem(
            fields.at(name), f"{shown(sent)} is not an object; write a quantity for each metric"
        )
    used: dict[str, list[Decimal]] = {}
    for word, value in sent.items():
        path = f"{fields.at(name)}.{word}"
        unit = words.get(str(word).strip().lower())
        if unit is None:
            raise FieldProblem(path, f"is not priced by this plan; priced are {', '.join(words.values())}")
        if unit in used:
            raise FieldProblem(path, "says the same as another entry; write one of them")
        used[unit] = _events(value, path)
    return used


def _events(value: object, path: str) -> list[Decimal]:
    values = value if isinstance(value, list) else [value]
    if len(values) > _MOST_EVENTS:
        raise FieldProblem(path, f"has {len(values)} events; at most {_MOST_EVENTS} can be priced")
    found = []
    for index, event in enumerate(values):
        at = f"{path}[{index}]" if isinstance(value, list) else path
        quantity = Fields({"": event}, at).quantity("")
        if quantity is None:
            raise FieldProblem(at, "is missing; write a quantity")
        found.append(quantity)
    return found
