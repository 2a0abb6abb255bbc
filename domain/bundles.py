"""Several rate plans sold as one. Put here: their terms put together. Keep out: which versions (storage), charging.

Each plan keeps its lines, its own fees, and its own minimum, maximum and committed spend, over its own lines. The first plan is the one the subscription names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from domain.terms import PlanTerms, unbillable_terms

_ROOM = 1000
"""Lines of a further plan stand behind those of the plan before it."""
TWICE = "{0!r} is priced by rate plans {1!r} and {2!r}; within a bundle a unit has one price"


def bundled(primary: PlanTerms, further: Sequence[PlanTerms]) -> PlanTerms:
    """The terms of all plans as those of the first. What cannot be billed together holds its customers by name."""
    items = [*primary.items]
    for place, plan in enumerate(further, start=1):
        items += [{**item, "line_order": item["line_order"] + place * _ROOM} for item in plan.items]
    units = dict.fromkeys([*primary.units, *(unit for plan in further for unit in plan.units)])
    commitments = {plan: agreed for each in (primary, *further) for plan, agreed in each.commitments.items()}
    whole = replace(primary, items=tuple(items), units=tuple(units), commitments=commitments)
    reasons = ", ".join(_not_honoured([primary, *further]))
    return unbillable_terms(whole, reasons) if reasons else whole


def priced_twice(units: Mapping[str, Collection[str]]) -> tuple[str, str, str] | None:
    """(unit, plan, other plan) of the first unit that two plans price; None: none is. units: by plan, in order."""
    seen: dict[str, str] = {}
    for plan, priced in units.items():
        for unit in sorted(priced):
            if unit in seen:
                return unit, seen[unit], plan
            seen[unit] = plan
    return None


def _not_honoured(plans: Sequence[PlanTerms]) -> Iterator[str]:
    if len({plan.currency for plan in plans}) > 1:
        yield "a bundle of rate plans in several currencies"
    twice = priced_twice({plan.plan: plan.units for plan in plans})
    if twice is not None:
        yield "a bundle in which rate plans {1} and {2} both price {0}".format(*twice)
