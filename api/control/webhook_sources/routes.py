"""The routes of webhook sources. Put here: reading the request, shaping the answer. Keep out: receiving webhooks, their secrets' keeping."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from storage.services.webhook_sources import WebhookSources
from storage.tables.money import WebhookSourceRow
from storage.tenancy import Tx


class SourceBody(Body):
    """A sender of webhooks, and where in them the usage stands."""

    tenant_id: str | None = Field(None, description="If sent, the tenant of the request.", examples=["acme"])
    name: str = Field(examples=["Orders shop"])
    description: str | None = None
    signature_header: str | None = Field(None, description="X-Aforo-Signature unless said.")
    signature_algorithm: str | None = Field(None, examples=["hmac-sha256"])
    customer_id_path: str = Field(description="JSONPath", examples=["$.data.customer.id"])
    metric_key_path: str | None = Field(None, description="JSONPath", examples=["$.type"])
    quantity_path: str | None = Field(
        None, description="JSONPath; without it each webhook counts as one.", examples=["$.data.quantity"]
    )
    timestamp_path: str | None = Field(
        None, description="JSONPath; without it the time of receipt counts.", examples=["$.created"]
    )
    provider: str | None = Field(
        None,
        description="GENERIC (unless said), STRIPE, TWILIO, SENDGRID, GITHUB or SLACK: whose way to sign.",
    )
    metric_key: str | None = Field(None, description="The unit, where it is always one.")
    event_filter: str | None = Field(None, description="The types let through, comma-separated; none: all.")
    event_type_path: str | None = Field(None, description="JSONPath; where the provider has it unless said.")
    event_id_path: str | None = Field(None, description="JSONPath; where the provider has it unless said.")
    secret: str | None = Field(
        None, description="What the provider signs with, as it shows it; made for you unless sent."
    )


def webhook_source_routes(door: Door) -> APIRouter:
    """/api/v1/webhook-sources."""
    router = managed_router("/api/v1/webhook-sources", "webhook sources")

    def sources(tx: Tx) -> WebhookSources:
        return WebhookSources(tx, door.seal)

    @router.post("", status_code=201)
    def create(body: SourceBody, call: Annotated[Call, Depends(door.write(Area.INTEGRATIONS))]) -> Response:
        """Add a source. Its secret is in this answer and in no other."""

        def work(tx: Tx) -> dict[str, Any]:
            row, secret = sources(tx).create(body.sent())
            return _shown(row) | {"secret": secret}

        return call.write(work, status=201)

    @router.get("")
    def listing(call: Annotated[Call, Depends(door.read(Area.INTEGRATIONS))]) -> Response:
        """All sources, the newest first. Sort by createdAt or name."""
        return call.listing(lambda tx, query: sources(tx).page(query), _shown)

    @router.get("/{source_id}")
    def get(source_id: str, call: Annotated[Call, Depends(door.read(Area.INTEGRATIONS))]) -> Response:
        """One source, without its secret."""
        return call.read(lambda tx: _shown(sources(tx).get(source_id)))

    @router.delete("/{source_id}", status_code=204)
    def archive(source_id: str, call: Annotated[Call, Depends(door.write(Area.INTEGRATIONS))]) -> Response:
        """Remove a source: its webhooks are refused from now on."""
        return call.write(lambda tx: sources(tx).archive(source_id))

    return router


def _shown(row: WebhookSourceRow) -> dict[str, Any]:
    return camel(
        {
            "id": row.id,
            "tenant_id": row.tenant_id,
            "name": row.name,
            "description": row.description,
            "signature_header": row.signature_header,
            "signature_algorithm": row.signature_algorithm,
            "customer_id_path": row.customer_id_path,
            "metric_key_path": row.metric_key_path,
            "quantity_path": row.quantity_path,
            "timestamp_path": row.timestamp_path,
            "provider": row.provider,
            "metric_key": row.metric_key,
            "event_filter": row.event_filter,
            "event_type_path": row.event_type_path,
            "event_id_path": row.event_id_path,
            "created_at": row.created_at,
        }
    )
