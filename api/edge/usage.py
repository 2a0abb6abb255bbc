"""Usage so far. Put here: a customer's counters by subscription and unit, as the door has them. Keep out: what follows from them
(domain.entitlement), exact usage (the lake)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request, Response

from api.edge.access import TENANT_NAMES, customer_of, first, to_json
from api.edge.asking import Caller, answered
from api.edge.auth import require_tenant
from api.edge.known import TenantView
from api.edge.service import EdgeService
from domain import limits
from domain.access import ACCESS, METER, SubscriptionRights, UnitRecord
from domain.counters import OPERATIONS, counter_field
from domain.entitlement import UNKNOWN_CUSTOMER, used_of
from domain.instant import iso
from domain.usage import CUSTOMER_NAMES, UNIT_NAMES

_FOUND, _NO_SUBSCRIPTION = "FOUND", "NO_SUBSCRIPTION"
Use = tuple[SubscriptionRights, UnitRecord, tuple[int, int] | None]


def add_usage_routes(app: FastAPI, service: EdgeService) -> None:
    """GET /v1/usage."""

    @app.get("/v1/usage", tags=["access"], response_model=None)
    async def usage(request: Request) -> Response:
        """A customer's usage so far in the current billing period, by subscription and billable unit."""
        return await answered(service, request, (ACCESS, METER), limits.ENTITLEMENTS, _usage)


async def _usage(caller: Caller) -> Response:
    query = dict(caller.request.query_params)
    require_tenant(caller.key, first(query, TENANT_NAMES), "tenantId")
    customer = customer_of(caller.key, first(query, CUSTOMER_NAMES))
    wanted = first(query, UNIT_NAMES)
    now = caller.service.stamp()
    [asked] = await caller.ask([(customer, None)])
    view = caller.view()
    rights = asked.rights
    uses = list(_uses(rights.subscriptions if rights else (), view, now, wanted))
    counted = await _counters(caller, customer, uses)
    reason = UNKNOWN_CUSTOMER if rights is None else _FOUND if rights.subscriptions else _NO_SUBSCRIPTION
    shown = [_shown(use, counted) for use in uses]
    body = {"customerId": customer, "asOf": iso(now), "reason": reason, "usage": shown}
    return to_json(body | ({"stale": True} if caller.stale else {}))


def _uses(
    subscriptions: Iterable[SubscriptionRights], view: TenantView | None, now: int, wanted: str | None
) -> Iterable[Use]:
    """Every unit of every subscription, with the billing period it is in now."""
    units = view.units if view else {}
    only = units.get(wanted.lower()) if wanted else None
    for subscription in subscriptions:
        period = next((each for each in subscription.periods if each[0] <= now < each[1]), None)
        names = {*subscription.units, *(feature.unit for feature in subscription.features if feature.unit)}
        for name in sorted(names):
            unit = units.get(name.lower())
            if unit is not None and (wanted is None or unit == only):
                yield subscription, unit, period


async def _counters(caller: Caller, customer: str, uses: list[Use]) -> dict[str, int]:
    fields = sorted({field for use in uses if (field := _field(use)) is not None})
    if caller.stale:
        return dict(caller.service.snapshot.last(caller.key.tenant_id, customer).counted)
    if not fields:
        return {}
    service = caller.service
    answers = await service.together.ask(caller.key.tenant_id, (), [(customer, fields)])
    return dict(answers.found[0].counted)


def _field(use: Use) -> str | None:
    _, unit, period = use
    return (
        None if period is None or unit.aggregation not in OPERATIONS else counter_field(unit.key, period[0])
    )


def _shown(use: Use, counted: dict[str, int]) -> dict[str, Any]:
    """used is null where the door cannot count, as for percentiles: the lake can."""
    subscription, unit, period = use
    field = _field(use)
    return {
        "metricName": unit.key,
        "name": unit.name,
        "aggregation": unit.aggregation,
        "subscriptionId": subscription.subscription_id,
        "plan": subscription.plan,
        "used": None if field is None else used_of(counted, field),
        "periodStart": None if period is None else iso(period[0]),
        "periodEnd": None if period is None else iso(period[1]),
    }
