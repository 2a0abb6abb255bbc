"""The routes of grants, holds, top-ups and alerts. Put here: reading the request, shaping the answer. Keep out: the wallet itself
(routes.py), how money is booked (storage.services)."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body, Instant
from api.control.calls import Area, Call, Door, managed_router
from api.control.wallets.routes import DebitBody
from domain.money import EXPONENTS, unpadded
from storage.services.alerts import Alerts
from storage.services.wallet_grants import Grants
from storage.services.wallet_holds import Holds
from storage.services.wallet_top_ups import TopUps
from storage.tables.wallet_grants import AlertRow, WalletGrantRow, WalletHoldRow, WalletTopUpRow


class GrantBody(Body):
    """Something to give: money, or units of one kind."""

    type: str = Field(description="PROMOTIONAL, BONUS_UNITS or CASH.", examples=["PROMOTIONAL"])
    amount: Decimal = Field(
        description="Money in whole minor units; for BONUS_UNITS units.", examples=["25.00"]
    )
    unit: str | None = Field(None, description="BONUS_UNITS: the unit they are of.", examples=["tokens"])
    effective_at: Instant | None = Field(None, description="Now unless said.")
    expires_at: Instant | None = Field(None, description="What is left then lapses; never unless said.")
    priority: int | None = Field(None, description="Among those that expire together: lower goes first.")
    units: list[str] | None = Field(None, description="May pay for usage of these units only.")
    products: list[str] | None = Field(None, description="May pay for usage of these products' units only.")
    description: str | None = Field(None, examples=["Welcome credit"])
    idempotency_key: str | None = Field(None, description="The same key gives once, for ever.")


class RevokeBody(Body):
    """Why."""

    reason: str | None = Field(None, examples=["Given by mistake"])


class HoldBody(DebitBody):
    """Money to reserve; the names are accepted in camelCase too."""

    ttl_seconds: int | None = Field(
        None, description="How long, unless it is closed before: 900 unless said."
    )


class SettleBody(Body):
    """What of the reserved money is spent."""

    amount: Decimal | None = Field(None, description="All of it unless said.", examples=["0.75"])


def grant_routes(door: Door) -> APIRouter:
    """/api/v1/wallets/{id}/grants, summary and top-ups."""
    router = managed_router("/api/v1/wallets", "wallets")
    _top_ups(router, door)

    @router.post("/{wallet_id}/grants", status_code=201)
    def create(
        wallet_id: str, body: GrantBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """Give promotional money, bonus units or cash, for a time or for ever."""
        return call.write(lambda tx: _grant(Grants(tx).create(wallet_id, body.sent())), status=201)

    @router.get("/{wallet_id}/grants")
    def listing(wallet_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """What was put into the wallet, the newest first, with what is left of it."""
        return call.listing(lambda tx, query: Grants(tx).page(wallet_id, query), _grant)

    @router.get("/{wallet_id}/grants/{grant_id}")
    def get(
        wallet_id: str, grant_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]
    ) -> Response:
        """One grant."""
        return call.read(lambda tx: _grant(Grants(tx).get(wallet_id, grant_id)))

    @router.post("/{wallet_id}/grants/{grant_id}/revoke", status_code=200)
    def revoke(
        wallet_id: str,
        grant_id: str,
        call: Annotated[Call, Depends(door.write(Area.BILLING))],
        body: RevokeBody | None = None,
    ) -> Response:
        """Take back what is left of a grant; cash is owed back."""
        return call.write(
            lambda tx: _grant(Grants(tx).revoke(wallet_id, grant_id, body.reason if body else None))
        )

    @router.get("/{wallet_id}/summary")
    def summary(wallet_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """What came in, was burned, has lapsed and is left, by kind of grant in the order of burning; what is owed to the customer."""
        return call.read(lambda tx: _summary(Grants(tx).summary(wallet_id)))

    return router


def hold_routes(door: Door) -> APIRouter:
    """/v1/wallets/holds."""
    router = managed_router("/v1/wallets/holds", "wallets")

    @router.post("", status_code=201)
    def create(body: HoldBody, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Reserve money before it is spent: all of it, or 409 INSUFFICIENT_FUNDS and nothing."""
        return call.write(lambda tx: _hold(Holds(tx).create(body.sent())), status=201)

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        wallet_id: Annotated[str | None, Query(alias="walletId")] = None,
    ) -> Response:
        """Holds, the newest first."""
        return call.listing(lambda tx, query: Holds(tx).page(wallet_id, query), _hold)

    @router.get("/{hold_id}")
    def get(hold_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """One hold."""
        return call.read(lambda tx: _hold(Holds(tx).get(hold_id)))

    @router.post("/{hold_id}/settle", status_code=200)
    def settle(
        hold_id: str,
        call: Annotated[Call, Depends(door.write(Area.BILLING))],
        body: SettleBody | None = None,
    ) -> Response:
        """Spend what is reserved, or less of it."""
        return call.write(lambda tx: _hold(Holds(tx).settle(hold_id, body.sent() if body else {})))

    @router.post("/{hold_id}/release", status_code=200)
    def release(hold_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]) -> Response:
        """Reserve it no longer."""
        return call.write(lambda tx: _hold(Holds(tx).release(hold_id)))

    return router


def alert_routes(door: Door) -> APIRouter:
    """/api/v1/alerts."""
    router = managed_router("/api/v1/alerts", "alerts")

    @router.get("")
    def listing(
        call: Annotated[Call, Depends(door.read(Area.BILLING))],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        kind: str | None = None,
    ) -> Response:
        """What needs somebody's eye, the newest first: LOW_BALANCE, WALLET_EMPTY, TOP_UP_FAILED, TOP_UP_PENDING."""
        return call.listing(
            lambda tx, query: Alerts(tx).page(query, customer_id=customer_id, kind=kind), _alert
        )

    return router


def _top_ups(router: APIRouter, door: Door) -> None:
    @router.get("/{wallet_id}/top-ups")
    def listing(wallet_id: str, call: Annotated[Call, Depends(door.read(Area.BILLING))]) -> Response:
        """Automatic refills, the newest first."""
        return call.listing(lambda tx, query: TopUps(tx).page(wallet_id, query), _top_up)

    @router.post("/{wallet_id}/top-ups/{top_up_id}/confirm", status_code=200)
    def confirm(
        wallet_id: str, top_up_id: str, call: Annotated[Call, Depends(door.write(Area.BILLING))]
    ) -> Response:
        """The money of a pending refill has come: it goes into the wallet, once."""
        return call.write(lambda tx: _top_up(TopUps(tx).confirm(wallet_id, top_up_id)))


def _grant(row: WalletGrantRow) -> dict[str, Any]:
    status = (
        "REVOKED"
        if row.revoked_at
        else "SCHEDULED"
        if row.booked_at is None
        else "ACTIVE"
        if row.remaining
        else "USED_UP"
    )
    names = (
        "id",
        "wallet_id",
        "unit",
        "priority",
        "units",
        "products",
        "description",
        "effective_at",
        "expires_at",
    )
    shown = {name: getattr(row, name) for name in names}
    shown |= {name: unpadded(getattr(row, name)) for name in ("amount", "remaining", "held")}
    return camel(
        {
            **shown,
            "type": row.kind,
            "status": status,
            "revoked_at": row.revoked_at,
            "created_at": row.created_at,
        }
    )


def _hold(row: WalletHoldRow) -> dict[str, Any]:
    names = ("id", "wallet_id", "unit", "status", "description", "idempotency_key", "transaction_id")
    shown = {name: getattr(row, name) for name in (*names, "expires_at", "created_at", "closed_at")}
    parts = [{"grantId": grant, "amount": amount} for grant, amount in row.parts.items()]
    return camel({**shown, "amount": unpadded(row.amount), "settled": unpadded(row.settled)}) | {
        "parts": parts
    }


def _top_up(row: WalletTopUpRow) -> dict[str, Any]:
    names = ("id", "wallet_id", "status", "reference", "error", "created_at", "updated_at")
    return camel({name: getattr(row, name) for name in names} | {"amount": unpadded(row.amount)})


def _alert(row: AlertRow) -> dict[str, Any]:
    names = ("id", "kind", "customer_id", "target_type", "target_id", "message", "at")
    return camel({name: getattr(row, name) for name in names}) | {"details": row.details}


def _summary(found: dict[str, Any]) -> dict[str, Any]:
    wallet = found["wallet"]
    places = EXPONENTS[wallet.currency]
    return {
        "walletId": wallet.id,
        "customerId": wallet.customer_id,
        "currency": wallet.currency,
        **{
            name: format(unpadded(amount, places), "f")
            for name, amount in (
                ("balance", wallet.balance),
                ("held", found["held"]),
                ("available", found["available"]),
                ("liability", found["liability"]),
            )
        },
        "utilization": None
        if found["utilization"] is None
        else format(found["utilization"].quantize(Decimal("0.0001")), "f"),
        "waterfall": [{"type": kind, **_sums(sums, places)} for kind, sums in found["waterfall"].items()],
        "bonusUnits": [{"unit": unit, **_sums(sums, 0)} for unit, sums in found["units"].items()],
    }


def _sums(sums: dict[str, Decimal], places: int) -> dict[str, str]:
    return {name: format(unpadded(amount, places), "f") for name, amount in sums.items()}
