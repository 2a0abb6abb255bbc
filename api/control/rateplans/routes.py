"""The routes of rate plans. Put here: reading the request, shaping the answer. Keep out: what plans do
(storage.services.rate_plans)."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Response

from api.control.calls import Area, Call, Door, managed_router
from api.control.rateplans.answers import (
    shown_plan,
    shown_prices,
    shown_rate_limit,
    shown_version,
    told_plan,
    told_version,
)
from api.control.rateplans.bodies import (
    PriceBody,
    PublishBody,
    RateLimitBody,
    RatePlanBody,
    RatePlanEdit,
)
from storage.services.plan_prices import PlanPrices
from storage.services.rate_plans import RatePlans

Name = Annotated[str | None, Query(description="Part of the name, in any case.")]
Number = Annotated[int, Query(ge=1, le=2**31 - 1, description="Number of a version; the draft's works too.")]


def rate_plan_routes(door: Door) -> APIRouter:
    """/api/v1/rateplans."""
    router = managed_router("/api/v1/rateplans", "rate plans")
    _lists(router, door)
    _versions(router, door)
    _drafts(router, door)
    reading, writing = door.read(Area.PRICING), door.write(Area.PRICING)

    @router.post("", status_code=201)
    def create(body: RatePlanBody, call: Annotated[Call, Depends(writing)]) -> Response:
        """Create a rate plan, published as version 1 at once unless `status` DRAFT is sent. What is legal but odd about its
        prices is in `meta.warnings`."""
        return call.write(lambda tx: told_plan(RatePlans(tx).create(body.sent())), status=201)

    @router.get("/{plan_id}")
    def get(plan_id: str, call: Annotated[Call, Depends(reading)]) -> Response:
        """One rate plan as its latest version says, archived or not."""
        return call.read(lambda tx: shown_plan(RatePlans(tx).get(plan_id)))

    @router.put("/{plan_id}")
    def replace(plan_id: str, body: RatePlanBody, call: Annotated[Call, Depends(writing)]) -> Response:
        """Replace a rate plan. Other prices are a new version, published at once unless `status` DRAFT is sent; running
        subscriptions stay on theirs."""
        return call.write(
            lambda tx: told_plan(RatePlans(tx).edit(plan_id, body.sent(), call.expect, whole=True))
        )

    @router.patch("/{plan_id}")
    def edit(plan_id: str, body: RatePlanEdit, call: Annotated[Call, Depends(writing)]) -> Response:
        """Change the fields sent; otherwise as PUT."""
        return call.write(lambda tx: told_plan(RatePlans(tx).edit(plan_id, body.sent(), call.expect)))

    @router.delete("/{plan_id}", status_code=204)
    def archive(plan_id: str, call: Annotated[Call, Depends(writing)]) -> Response:
        """Archive a rate plan; 409 while live subscriptions are billed by it."""
        return call.write(lambda tx: RatePlans(tx).archive(plan_id, call.expect))

    @router.post("/{plan_id}/price")
    def price(plan_id: str, body: PriceBody, call: Annotated[Call, Depends(reading)]) -> Response:
        """Calculate what a full period of the plan costs for given usage; nothing is stored."""
        return call.read(lambda tx: shown_prices(*PlanPrices(tx).price(plan_id, body.sent())))

    return router


def rate_limit_routes(door: Door) -> APIRouter:
    """/api/v1/rate-plans/{id}/rate-limit."""
    router = managed_router("/api/v1/rate-plans", "rate plans")

    @router.get("/{plan_id}/rate-limit")
    def get(plan_id: str, call: Annotated[Call, Depends(door.read(Area.PRICING))]) -> Response:
        """The rate limit of a plan's latest version; null where it has none."""
        return call.read(lambda tx: shown_rate_limit(plan_id, PlanPrices(tx).rate_limit(plan_id)))

    @router.put("/{plan_id}/rate-limit")
    def put(
        plan_id: str, body: RateLimitBody, call: Annotated[Call, Depends(door.write(Area.PRICING))]
    ) -> Response:
        """Set the rate limit: a new version of the plan with all else as before."""
        return call.write(
            lambda tx: shown_rate_limit(
                plan_id, PlanPrices(tx).set_rate_limit(plan_id, body.sent(), call.expect)
            )
        )

    return router


def _lists(router: APIRouter, door: Door) -> None:
    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.PRICING))],
        name: Name = None,
        currency: str | None = None,
        include_archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """All rate plans by name. Sort by name, createdAt or updatedAt."""
        return call.listing(
            lambda tx, query: RatePlans(tx).page(
                query, name=name, currency=currency, include_archived=include_archived
            ),
            shown_plan,
        )

    @router.get("/search")
    def search(call: Annotated[Call, Depends(door.read(Area.PRICING))], name: Name = None) -> Response:
        """Rate plans by a part of their name."""
        return call.listing(lambda tx, query: RatePlans(tx).page(query, name=name), shown_plan)


def _versions(router: APIRouter, door: Door) -> None:
    reading, writing = door.read(Area.PRICING), door.write(Area.PRICING)

    @router.get("/{plan_id}/versions")
    def versions(plan_id: str, call: Annotated[Call, Depends(reading)]) -> Response:
        """The draft, if there is one, and every published version, the latest first."""
        return call.read(lambda tx: [shown_version(view) for view in RatePlans(tx).versions(plan_id)])

    @router.post("/{plan_id}/versions", status_code=201)
    def draft(
        plan_id: str,
        call: Annotated[Call, Depends(writing)],
        body: Annotated[RatePlanEdit | None, Body()] = None,
    ) -> Response:
        """Make the draft of the next version, in place of any before it: the latest version with the fields sent on top."""
        sent: dict[str, Any] = body.sent() if body else {}
        return call.write(
            lambda tx: told_version(RatePlans(tx).make_draft(plan_id, sent, call.expect)), status=201
        )

    @router.get("/{plan_id}/versions/{version}")
    def version(plan_id: str, version: int, call: Annotated[Call, Depends(reading)]) -> Response:
        """One version, published or the draft."""
        return call.read(lambda tx: shown_version(RatePlans(tx).version(plan_id, version)))

    @router.get("/{plan_id}/diff")
    def diff(
        plan_id: str,
        call: Annotated[Call, Depends(reading)],
        before: Annotated[Number, Query(alias="from")],
        after: Annotated[Number, Query(alias="to")],
    ) -> Response:
        """What differs between two versions: paths with the values before and after."""
        return call.read(
            lambda tx: {
                "from": before,
                "to": after,
                "changes": [
                    {"path": path, **change}
                    for path, change in RatePlans(tx).diff(plan_id, before, after).items()
                ],
            }
        )


def _drafts(router: APIRouter, door: Door) -> None:
    writing = door.write(Area.PRICING)

    @router.put("/{plan_id}/versions/{version}")
    def replace_draft(
        plan_id: str, version: int, body: RatePlanBody, call: Annotated[Call, Depends(writing)]
    ) -> Response:
        """Replace the draft; 409 for a published version."""
        return call.write(
            lambda tx: told_version(
                RatePlans(tx).edit_draft(plan_id, version, body.sent(), call.expect, whole=True)
            )
        )

    @router.patch("/{plan_id}/versions/{version}")
    def edit_draft(
        plan_id: str, version: int, body: RatePlanEdit, call: Annotated[Call, Depends(writing)]
    ) -> Response:
        """Change the draft; 409 for a published version."""
        return call.write(
            lambda tx: told_version(
                RatePlans(tx).edit_draft(plan_id, version, body.sent(), call.expect, whole=False)
            )
        )

    @router.post("/{plan_id}/versions/{version}/publish")
    def publish(
        plan_id: str,
        version: int,
        call: Annotated[Call, Depends(writing)],
        body: Annotated[PublishBody | None, Body()] = None,
    ) -> Response:
        """Publish the draft. It never changes any more; new subscriptions pin it, running ones stay on theirs."""
        effective_at = body.effective_at if body else None
        return call.write(
            lambda tx: told_version(RatePlans(tx).publish(plan_id, version, effective_at, call.expect))
        )
