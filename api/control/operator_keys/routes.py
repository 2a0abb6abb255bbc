"""The routes of operator keys. Put here: reading the request, shaping the answer. Keep out: who may give which role (domain)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from storage.services.operator_keys import OperatorKeys
from storage.tables.doors import OperatorKeyRow
from storage.tenancy import Tx


class OperatorKeyBody(Body):
    """Somebody's key to the management door."""

    name: str = Field(description="For people to tell keys apart.", examples=["CI deploys"])
    role: str = Field(
        description="OWNER, ADMIN, PRODUCT_MANAGER, BILLING_ADMIN, DEVELOPER or VIEWER (also MEMBER).",
        examples=["DEVELOPER"],
    )
    expires_at: Any = Field(
        None,
        description="When it stops working (RFC 3339); left out: never.",
        examples=["2099-01-01T00:00:00Z"],
    )


def operator_key_routes(door: Door) -> APIRouter:
    """/api/v1/operator-keys. Keys are settings of the tenant: were they of KEYS, a DEVELOPER could give itself any role."""
    router = managed_router("/api/v1/operator-keys", "operator keys")

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        """A page of operator keys, revoked ones too; secrets are never shown again."""
        return call.listing(lambda tx, query: OperatorKeys(tx).page(query), _shown)

    @router.post("", status_code=201)
    def create(body: OperatorKeyBody, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]) -> Response:
        """Make an operator key. The answer's `secret` is shown this once."""
        return call.write(lambda tx: _with_secret(*OperatorKeys(tx).create(body.sent())), status=201)

    @router.get("/{key}")
    def one(key: str, call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        """An operator key, without its secret."""
        return call.read(lambda tx: _shown(OperatorKeys(tx).get(key)))

    @router.post("/{key}/rotate")
    def rotate(key: str, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]) -> Response:
        """Give a key a new secret, shown this once; the old one works for 5 more minutes."""
        return call.write(lambda tx: _with_secret(*OperatorKeys(tx).rotate(key)))

    @router.delete("/{key}")
    def revoke(key: str, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]) -> Response:
        """Revoke a key: it stops working at once and stays in the list."""
        return call.write(lambda tx: _shown(_revoked(tx, call, key)))

    return router


def _revoked(tx: Tx, call: Call, key: str) -> OperatorKeyRow:
    keys = OperatorKeys(tx)
    call.expect(f"operator key {key}", keys.get(key, lock=True).revision)
    return keys.revoke(key)


def _with_secret(row: OperatorKeyRow, secret: str) -> dict[str, Any]:
    return {**_shown(row), "secret": secret}


def _shown(row: OperatorKeyRow) -> dict[str, Any]:
    names = (
        "id",
        "name",
        "role",
        "prefix",
        "status",
        "created_by",
        "created_at",
        "expires_at",
        "last_used_at",
    )
    return camel({name: getattr(row, name) for name in (*names, "revoked_at", "revision")})
