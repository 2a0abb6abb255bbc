"""The routes of payment gateways and payment methods. Put here: reading the request, shaping the answer. Keep out: secrets, rules."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from storage.services.payment_gateways import PaymentGateways
from storage.services.payment_methods import PaymentMethods
from storage.tables.money import PaymentGatewayRow, PaymentMethodRow
from storage.tenancy import Tx


class GatewayEdit(Body):
    """The fields to change; a secret sent replaces the one before."""

    display_name: str | None = Field(None, examples=["Stripe (EU)"])
    api_key: str | None = Field(None, description="Kept sealed; never returned.", examples=["sk_test_…"])
    public_key: str | None = Field(None, examples=["pk_test_…"])
    webhook_secret: str | None = Field(None, description="Kept sealed; never returned.", examples=["whsec_…"])
    primary: bool | None = Field(None, description="Payments go through it. One is primary at a time.")
    active: bool | None = None
    sandbox_mode: bool | None = Field(None, examples=[True])
    supported_currencies: list[str] | None = Field(None, description="None: all.", examples=[["USD", "EUR"]])


class GatewayBody(GatewayEdit):
    """A gateway; the first is the primary one unless said otherwise."""

    gateway_type: str = Field(description="STRIPE (needs apiKey) or MANUAL", examples=["STRIPE"])


class MethodBody(Body):
    """A customer's means of payment, as the primary gateway knows it."""

    customer_id: str = Field(examples=["cus_0123456789abcdef"])
    gateway_token: str = Field(
        description="The gateway's token; never a card number.", examples=["pm_card_visa"]
    )
    method_type: str = Field(description="CARD, BANK_ACCOUNT, SEPA_DEBIT or OTHER", examples=["CARD"])
    gateway_customer_id: str | None = Field(None, examples=["cus_stripe"])
    display_name: str | None = Field(None, examples=["Company card"])
    last_four: str | None = Field(None, examples=["4242"])
    card_brand: str | None = Field(None, examples=["visa"])
    expiry_month: int | None = Field(None, examples=[12])
    expiry_year: int | None = Field(None, examples=[2030])
    set_as_default: bool | None = Field(None, examples=[True])


def payment_gateway_routes(door: Door) -> APIRouter:
    """/api/v1/payment-gateways."""
    router = managed_router("/api/v1/payment-gateways", "payments")

    def gateways(tx: Tx) -> PaymentGateways:
        return PaymentGateways(tx, door.seal)

    @router.post("", status_code=201)
    def create(body: GatewayBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Add a payment gateway."""
        return call.write(lambda tx: _gateway(gateways(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """All gateways, the newest first. Sort by createdAt or displayName."""
        return call.listing(lambda tx, query: gateways(tx).page(query), _gateway)

    @router.get("/{gateway_id}")
    def get(gateway_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One gateway, without its secrets."""
        return call.read(lambda tx: _gateway(gateways(tx).get(gateway_id)))

    @router.patch("/{gateway_id}")
    def edit(
        gateway_id: str, body: GatewayEdit, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Change a gateway; `primary: true` makes it the primary one in the same transaction."""
        return call.write(lambda tx: _gateway(gateways(tx).edit(gateway_id, body.sent(), call.expect)))

    @router.post("/{gateway_id}/primary", status_code=200)
    def primary(gateway_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Let payments go through this gateway from now on."""
        return call.write(lambda tx: _gateway(gateways(tx).make_primary(gateway_id)))

    @router.delete("/{gateway_id}", status_code=204)
    def archive(gateway_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Remove a gateway and its secrets; 409 while customers' payment methods are kept there."""
        return call.write(lambda tx: gateways(tx).archive(gateway_id, call.expect))

    return router


def payment_method_routes(door: Door) -> APIRouter:
    """/api/v1/payment-methods."""
    router = managed_router("/api/v1/payment-methods", "payments")

    @router.post("", status_code=201)
    def create(body: MethodBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Add a customer's payment method; 400 if there is no primary gateway to keep it at."""
        return call.write(lambda tx: _method(PaymentMethods(tx).create(body.sent())), status=201)

    @router.get("/by-customer/{customer_id}")
    def of_customer(customer_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """A customer's payment methods, the default first."""
        return call.read(lambda tx: [_method(row) for row in PaymentMethods(tx).of_customer(customer_id)])

    @router.get("/{method_id}")
    def get(method_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One payment method."""
        return call.read(lambda tx: _method(PaymentMethods(tx).get(method_id)))

    @router.post("/{method_id}/default", status_code=200)
    def default(method_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Let the customer pay with this one from now on."""
        return call.write(lambda tx: _method(PaymentMethods(tx).make_default(method_id)))

    @router.delete("/{method_id}", status_code=204)
    def archive(method_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Remove a payment method; the newest of the others becomes the default in its place."""
        return call.write(lambda tx: PaymentMethods(tx).archive(method_id))

    return router


def _gateway(row: PaymentGatewayRow) -> dict[str, Any]:
    return camel(
        {
            "id": row.id,
            "gateway_type": row.gateway_type,
            "display_name": row.display_name,
            "public_key": row.public_key,
            "has_api_key": row.api_key_sealed is not None,
            "has_webhook_secret": row.webhook_secret_sealed is not None,
            "primary": row.is_primary,
            "active": row.active,
            "sandbox_mode": row.sandbox_mode,
            "supported_currencies": row.supported_currencies,
            "revision": row.revision,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def _method(row: PaymentMethodRow) -> dict[str, Any]:
    return camel(
        {
            "id": row.id,
            "customer_id": row.customer_id,
            "method_type": row.method_type,
            "display_name": row.display_name,
            "last_four": row.last_four,
            "card_brand": row.card_brand,
            "expiry_month": row.expiry_month,
            "expiry_year": row.expiry_year,
            "gateway_id": row.gateway_id,
            "gateway_type": row.gateway_type,
            "gateway_customer_id": row.gateway_customer_id,
            "is_default": row.is_default,
            "active": row.active,
            "created_at": row.created_at,
        }
    )
