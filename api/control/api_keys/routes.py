"""API keys over HTTP. Put here: the routes and the shapes of their bodies. Keep out: rules (storage/services/api_keys.py)."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Response
from fastapi.routing import APIRouter
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, PageQuery, managed_router
from storage.repositories.paging import Page
from storage.services.api_keys import ApiKeyService
from storage.tenancy import Tx

KeyId = Annotated[str, Path(description="The key's id.", examples=["key_4f1c0a9be2d37781"])]
_STATUS = "ACTIVE, SUSPENDED, PENDING_REVOCATION or REVOKED"


class ApiKeyBody(Body):
    """A key to be made; its secret is in the answer, this once."""

    name: Any = Field(
        None, description="For people; a key without accessorId is known by it.", examples=["Production"]
    )
    customer_id: Any = Field(
        None, description="Whose it is; left out: the whole tenant's.", examples=["cus_acme"]
    )
    accessor_id: Any = Field(
        None,
        description="The app or agent that uses it; one not known yet is made.",
        examples=["app_checkout"],
    )
    accessor_type: Any = Field(
        None, description="APP (a bearer token) or AGENT (client id and secret).", examples=["APP"]
    )
    subscription_ids: Any = Field(
        None,
        description="ACTIVE subscriptions it is for; it ends with the last of them.",
        examples=[["sub_acme"]],
    )
    environment: Any = Field(None, description="live or test.", examples=["live"])
    scopes: Any = Field(
        None, description="What it opens: meter, access; none: everything.", examples=[["meter", "access"]]
    )
    ip_ranges: Any = Field(None, description="CIDR; none: from anywhere.", examples=[["203.0.113.0/24"]])
    expires_at: Any = Field(None, description="RFC 3339; it stops then.", examples=["2030-01-01T00:00:00Z"])
    product_id: Any = Field(None, description="The product it is for.", examples=[None])


class ReasonBody(Body):
    """Why."""

    reason: str | None = Field(None, description="For the audit log.", max_length=512, examples=["leaked"])


def api_key_routes(door: Door) -> APIRouter:
    """/api/v1/api-keys."""
    router = managed_router("/api/v1/api-keys", "api-keys")
    reader, writer = Depends(door.read(Area.KEYS)), Depends(door.write(Area.KEYS))

    @router.post("", status_code=201)
    def create_key(body: ApiKeyBody, call: Annotated[Call, writer]) -> Response:
        """Make a key. Its secret (`secret`, or `clientId` with `clientSecret`) is shown here and never again."""
        return call.write(lambda tx: camel(ApiKeyService(tx).create(body.sent())), status=201)

    @router.get("")
    def list_keys(
        call: Annotated[Call, reader],
        customer_id: Annotated[str | None, Query(alias="customerId")] = None,
        accessor_id: Annotated[str | None, Query(alias="accessorId")] = None,
        environment: Annotated[str | None, Query(description="live or test")] = None,
        status: Annotated[str | None, Query(description=_STATUS)] = None,
        name: Annotated[str | None, Query(description="A part of the name.")] = None,
    ) -> Response:
        """Keys, the newest first; never their secrets."""
        filters = {
            "customerId": customer_id,
            "accessorId": accessor_id,
            "environment": environment,
            "status": status,
            "name": name,
        }

        def page(tx: Tx, query: PageQuery) -> Page:
            found = ApiKeyService(tx).page(query, filters)
            return Page([camel(dict(item)) for item in found.items], found.total, found.next_cursor)

        return call.listing(page)

    _add_one_key_routes(router, reader, writer)
    return router


def _add_one_key_routes(router: APIRouter, reader: Any, writer: Any) -> None:
    @router.get("/{key_id}")
    def get_key(key_id: KeyId, call: Annotated[Call, reader]) -> Response:
        """One key."""
        return call.read(lambda tx: camel(ApiKeyService(tx).get(key_id)))

    @router.post("/{key_id}/revoke")
    def revoke_key(key_id: KeyId, call: Annotated[Call, writer], body: ReasonBody | None = None) -> Response:
        """Stop the key for ever; the edge refuses it within a second, and tokens made from it."""
        return call.write(lambda tx: camel(ApiKeyService(tx).revoke(key_id, _reason(body), call.expect)))

    @router.post("/{key_id}/rotate", status_code=201)
    def rotate_key(key_id: KeyId, call: Annotated[Call, writer]) -> Response:
        """A new key in its place, the new secret in the answer; the old one goes on for five minutes."""
        return call.write(lambda tx: camel(ApiKeyService(tx).rotate(key_id, call.expect)), status=201)

    @router.post("/{key_id}/suspend")
    def suspend_key(key_id: KeyId, call: Annotated[Call, writer], body: ReasonBody | None = None) -> Response:
        """Stop the key until it is reactivated."""
        return call.write(lambda tx: camel(ApiKeyService(tx).suspend(key_id, _reason(body), call.expect)))

    @router.post("/{key_id}/reactivate")
    def reactivate_key(
        key_id: KeyId, call: Annotated[Call, writer], body: ReasonBody | None = None
    ) -> Response:
        """Let a suspended key work again."""
        return call.write(lambda tx: camel(ApiKeyService(tx).reactivate(key_id, _reason(body), call.expect)))


def _reason(body: ReasonBody | None) -> str | None:
    return body.reason if body else None
