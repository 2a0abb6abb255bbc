"""The routes of coupons. Put here: reading the request, shaping the answer. Keep out: what coupons do (storage.services.coupons)."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ConfigDict, Field

from api.control.answers import camel
from api.control.bodies import Body, Instant
from api.control.calls import Area, Call, Door, Page, PageQuery, managed_router
from domain.money import EXPONENTS, unpadded
from storage.services.coupons import Coupons
from storage.tables.money import CouponRedemptionRow, CouponRow
from storage.tenancy import Tx


class CouponEdit(Body):
    """The fields to change; null clears one. What a coupon takes off stays once it was redeemed."""

    code: str | None = Field(None, description="^[A-Z0-9_-]+$, at most 64; unique", examples=["WELCOME10"])
    name: str | None = Field(None, examples=["Welcome: 10 % off"])
    description: str | None = None
    discount_type: str | None = Field(None, description="PERCENTAGE or FIXED_AMOUNT", examples=["PERCENTAGE"])
    discount_value: Decimal | None = Field(
        None, description="PERCENTAGE: a fraction, 0.10 is 10 %. FIXED_AMOUNT: money.", examples=["0.10"]
    )
    currency: str | None = Field(None, description="Of FIXED_AMOUNT.", examples=["USD"])
    duration: str | None = Field(None, description="ONCE, REPEATING or FOREVER", examples=["REPEATING"])
    duration_in_months: int | None = Field(None, description="1 to 60, of REPEATING.", examples=[3])
    max_redemptions: int | None = Field(
        None, description="By all customers; null: no limit.", examples=[1000]
    )
    max_redemptions_per_customer: int | None = Field(None, description="1 unless said.", examples=[1])
    valid_from: Instant | None = Field(None, examples=["2026-01-01T00:00:00Z"])
    valid_until: Instant | None = Field(
        None, description="The first instant without it.", examples=["2026-02-01T00:00:00Z"]
    )
    applies_to: list[str] | None = Field(None, description="Codes of offerings; none: all.", examples=[[]])


class CouponBody(CouponEdit):
    """A coupon."""

    model_config = ConfigDict(
        json_schema_extra={
            "required": ["code", "name", "discountType", "discountValue", "duration"],
            "example": {
                "code": "WELCOME10",
                "name": "Welcome: 10 % off",
                "discountType": "PERCENTAGE",
                "discountValue": 0.10,
                "duration": "REPEATING",
                "durationInMonths": 3,
                "maxRedemptionsPerCustomer": 1,
            },
        }
    )


class RedemptionBody(Body):
    """Which coupon to attach to which of the customer's subscriptions."""

    code: str = Field(examples=["WELCOME10"])
    subscription_id: str = Field(examples=["sub_0123456789abcdef"])


def coupon_routes(door: Door) -> APIRouter:
    """/api/v1/coupons."""
    router = managed_router("/api/v1/coupons", "coupons")
    _redeeming(router, door)

    @router.post("", status_code=201)
    def create(body: CouponBody, call: Annotated[Call, Depends(door.write(Area.PRICING))]) -> Response:
        """Create a coupon."""
        return call.write(lambda tx: _one(tx, Coupons(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.PRICING))],
        code: str | None = None,
        name: Annotated[str | None, Query(description="Part of the name, in any case.")] = None,
        include_archived: Annotated[bool, Query(alias="includeArchived")] = False,
    ) -> Response:
        """All coupons, the newest first. Sort by createdAt, name or code."""

        def work(tx: Tx, query: PageQuery) -> Page:
            rows, total, following = Coupons(tx).page(
                query, code=code, name=name, include_archived=include_archived
            )
            offerings = Coupons(tx).offerings(rows)
            return Page([_shown(row, offerings[row.id]) for row in rows], total, following)

        return call.listing(work)

    @router.get("/{coupon_id}")
    def get(coupon_id: str, call: Annotated[Call, Depends(door.read(Area.PRICING))]) -> Response:
        """One coupon, archived or not."""
        return call.read(lambda tx: _one(tx, Coupons(tx).get(coupon_id)))

    @router.patch("/{coupon_id}")
    def edit(
        coupon_id: str, body: CouponEdit, call: Annotated[Call, Depends(door.write(Area.PRICING))]
    ) -> Response:
        """Change a coupon; what it takes off only while nobody has redeemed it."""
        return call.write(lambda tx: _one(tx, Coupons(tx).edit(coupon_id, body.sent(), call.expect)))

    @router.delete("/{coupon_id}", status_code=204)
    def archive(coupon_id: str, call: Annotated[Call, Depends(door.write(Area.PRICING))]) -> Response:
        """Archive a coupon: nobody redeems it any more, what was redeemed goes on."""
        return call.write(lambda tx: Coupons(tx).archive(coupon_id, call.expect))

    return router


def _redeeming(router: APIRouter, door: Door) -> None:
    @router.post("/redeem-for-customer", status_code=201)
    def redeem(
        body: RedemptionBody,
        customer_id: Annotated[str, Query(alias="customerId")],
        call: Annotated[Call, Depends(door.write(Area.BILLING))],
    ) -> Response:
        """Attach a coupon to a customer's subscription. 409 where a limit is reached or it is not valid here and now."""
        return call.write(lambda tx: _redemption(Coupons(tx).redeem(customer_id, body.sent())), status=201)

    @router.get("/{coupon_id}/redemptions")
    def redemptions(
        coupon_id: str,
        call: Annotated[Call, Depends(door.read(Area.PRICING))],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        subscription_id: Annotated[str | None, Query(alias="subscriptionId")] = None,
    ) -> Response:
        """Who redeemed a coupon, the newest first. Sort by redeemedAt."""
        return call.listing(
            lambda tx, query: Coupons(tx).redemptions(
                coupon_id, query, customer_id=customer_id, subscription_id=subscription_id
            ),
            _redemption,
        )


def _one(tx: Tx, row: CouponRow) -> dict[str, Any]:
    return _shown(row, Coupons(tx).offerings([row])[row.id])


def _shown(row: CouponRow, applies_to: tuple[str, ...]) -> dict[str, Any]:
    return camel(
        {
            "id": row.id,
            "coupon_id": row.id,
            "code": row.code,
            "name": row.name,
            "description": row.description,
            "discount_type": row.discount_type,
            "discount_value": _value(row),
            "currency": row.currency,
            "duration": row.duration,
            "duration_in_months": row.duration_in_months,
            "max_redemptions": row.max_redemptions,
            "max_redemptions_per_customer": row.max_redemptions_per_customer,
            "redemption_count": row.redemption_count,
            "valid_from": row.valid_from,
            "valid_until": row.valid_until,
            "applies_to": applies_to,
            "status": "ARCHIVED" if row.archived_at else "ACTIVE",
            "revision": row.revision,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "archived_at": row.archived_at,
        }
    )


def _redemption(row: CouponRedemptionRow) -> dict[str, Any]:
    return camel(
        {
            "redemption_id": row.id,
            "coupon_id": row.coupon_id,
            "code": row.code,
            "customer_id": row.customer_id,
            "subscription_id": row.subscription_id,
            "discount_type": row.discount_type,
            "discount_value": _value(row),
            "currency": row.currency,
            "applies_from": row.applies_from,
            "applies_until": row.applies_until,
            "redeemed_at": row.redeemed_at,
        }
    )


def _value(row: CouponRow | CouponRedemptionRow) -> Decimal:
    return unpadded(row.discount_value, EXPONENTS[row.currency] if row.currency else 0)
