"""The routes of offerings. Put here: reading the request, shaping the answer. Keep out: what offerings do
(storage.services.offerings)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ConfigDict, Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from domain.catalog.offerings import offering_document
from storage.repositories.offerings import offering_of
from storage.services.offerings import Offerings
from storage.tables.catalog import OfferingRow


class OfferingEdit(Body):
    """The fields to change; null clears one. Under live subscriptions no rate plan goes, and the currency stays."""

    code: str | None = Field(None, description="Unique; made where none is sent.", examples=["pro"])
    name: str | None = Field(None, examples=["Pro"])
    description: str | None = None
    type: str | None = Field(None, description="STANDALONE (usual), BUNDLE or ADDON")
    status: str | None = Field(None, description="DRAFT, ACTIVE (usual) or ARCHIVED")
    primary_rate_plan_id: str | None = Field(None, examples=["rpl_0123456789abcdef"])
    rate_plan_ids: list[str] | None = Field(None, description="BUNDLE: all its rate plans.")
    billing_mode: str | None = Field(None, description="POSTPAID (usual), PREPAID or HYBRID")
    currency: str | None = Field(None, description="The rate plan's.", examples=["USD"])
    trial_days: int | None = Field(None, description="0 to 730", examples=[14])
    escrow_config: dict[str, Any] | None = Field(
        None,
        description="PREPAID, HYBRID: lowBalanceThreshold, and at zero behavior BLOCK or ALERT.",
        examples=[{"lowBalanceThreshold": 20, "behavior": "ALERT"}],
    )
    fx_strategy: str | None = Field(None, description="LOCK_AT_SUBSCRIPTION (usual) or LIVE_RATE")
    entitlements: list[dict[str, Any]] | None = Field(
        None,
        description="Features: feature, type BOOLEAN, STATIC (value) or METERED (metricId, limit, hard).",
        examples=[[{"feature": "sso"}, {"feature": "calls", "metricId": "api_calls", "limit": 10000}]],
    )


class OfferingBody(OfferingEdit):
    """An offering."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["name", "primaryRatePlanId"],
            "example": {
                "code": "pro",
                "name": "Pro",
                "type": "STANDALONE",
                "status": "ACTIVE",
                "primaryRatePlanId": "rpl_0123456789abcdef",
                "billingMode": "POSTPAID",
                "currency": "USD",
                "trialDays": 14,
                "entitlements": [{"feature": "calls", "metricId": "api_calls", "limit": 10000}],
            },
        }
    )


def offering_routes(door: Door) -> APIRouter:
    """/api/v1/offerings."""
    router = managed_router("/api/v1/offerings", "offerings")
    reading, writing = door.read(Area.PRICING), door.write(Area.PRICING)
    _states(router, door)

    @router.post("", status_code=201)
    def create(body: OfferingBody, call: Annotated[Call, Depends(writing)]) -> Response:
        """Create an offering, on sale at once unless another status is sent."""
        return call.write(lambda tx: _shown(Offerings(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(reading)],
        name: Annotated[str | None, Query(description="Part of the name, in any case.")] = None,
        code: str | None = None,
        kind: Annotated[str | None, Query(alias="type")] = None,
        status: str | None = None,
        include_archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """All offerings by name. Sort by name, createdAt or updatedAt."""
        wanted = {"id": code, "type": kind, "status": status}
        return call.listing(
            lambda tx, query: Offerings(tx).page(
                query, name=name, wanted=wanted, include_archived=include_archived
            ),
            _shown,
        )

    @router.get("/{offering_id}")
    def get(offering_id: str, call: Annotated[Call, Depends(reading)]) -> Response:
        """One offering, archived or not."""
        return call.read(lambda tx: _shown(Offerings(tx).get(offering_id)))

    @router.put("/{offering_id}")
    def replace(offering_id: str, body: OfferingBody, call: Annotated[Call, Depends(writing)]) -> Response:
        """Replace an offering; 409 where live subscriptions rest on what would change."""
        return call.write(
            lambda tx: _shown(Offerings(tx).edit(offering_id, body.sent(), call.expect, whole=True))
        )

    @router.patch("/{offering_id}")
    def edit(offering_id: str, body: OfferingEdit, call: Annotated[Call, Depends(writing)]) -> Response:
        """Change the fields sent; otherwise as PUT."""
        return call.write(lambda tx: _shown(Offerings(tx).edit(offering_id, body.sent(), call.expect)))

    @router.delete("/{offering_id}", status_code=204)
    def archive(offering_id: str, call: Annotated[Call, Depends(writing)]) -> Response:
        """Archive an offering; 409 while it has live subscriptions."""
        return call.write(lambda tx: Offerings(tx).archive(offering_id, call.expect))

    return router


def _states(router: APIRouter, door: Door) -> None:
    writing = door.write(Area.PRICING)

    @router.post("/{offering_id}/activate")
    def activate(offering_id: str, call: Annotated[Call, Depends(writing)]) -> Response:
        """Put a draft on sale; 409 where a rate plan of it has no published version."""
        return call.write(lambda tx: _shown(Offerings(tx).activate(offering_id, call.expect)))

    @router.post("/{offering_id}/archive")
    def close(offering_id: str, call: Annotated[Call, Depends(writing)]) -> Response:
        """Take an offering off sale for good; its running subscriptions go on."""
        return call.write(lambda tx: _shown(Offerings(tx).close(offering_id, call.expect)))


def _shown(row: OfferingRow) -> dict[str, Any]:
    times = {
        "revision": row.revision,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
    }
    return {"id": row.id, **offering_document(offering_of(row)), **camel(times)}
