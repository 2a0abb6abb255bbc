"""The routes of organization settings. Put here: reading the request, shaping the answer. Keep out: what they may say."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from api.control.answers import camel
from api.control.bodies import Body
from api.control.calls import Area, Call, Door, managed_router
from domain.organization import written_settings
from storage.services.organization import CurrentSettings, Organization


class OrganizationBody(Body):
    """Settings that change; within profile, retentionPolicies, theme, terms and corrections, fields that are not sent stay."""

    profile: dict[str, Any] | None = Field(
        None, examples=[{"displayName": "Acme", "supportEmail": "help@acme.example"}]
    )
    default_currency: str | None = Field(None, description="Of new customers.", examples=["USD"])
    time_zone: str | None = Field(None, description="Of new customers.", examples=["Europe/Madrid"])
    billing_anchor: int | None = Field(None, description="Day of the month, 1 to 31.", examples=[1])
    ai_provider_rates: list[Any] | None = Field(
        None,
        description="What AI providers charge you; the whole list at once.",
        examples=[[{"provider": "openai", "model": "gpt-4o", "unit": "INPUT_TOKEN", "rate": "0.0000025"}]],
    )
    retention_policies: dict[str, Any] | None = Field(
        None,
        description="Days: usageEventsDays, auditLogDays, invoicesDays, piiAfterErasureDays.",
        examples=[{"usageEventsDays": 730}],
    )
    theme: dict[str, Any] | None = Field(None, examples=[{"mode": "DARK", "primaryColor": "#1A2B3C"}])
    terms: dict[str, Any] | None = Field(None, examples=[{"paymentDueDays": 30}])
    corrections: dict[str, Any] | None = Field(
        None, examples=[{"autoApprove": False, "credits": "CREDIT_NOTE"}]
    )


def organization_routes(door: Door) -> APIRouter:
    """/api/v1/organization-settings."""
    router = managed_router("/api/v1/organization-settings", "organization settings")

    @router.get("")
    def one(call: Annotated[Call, Depends(door.read(Area.SETTINGS))]) -> Response:
        """The tenant's settings."""
        return call.read(lambda tx: _shown(Organization(tx).get()))

    @router.patch("")
    def edit(body: OrganizationBody, call: Annotated[Call, Depends(door.write(Area.SETTINGS))]) -> Response:
        """Change the settings sent; null sets what is usual."""
        return call.write(lambda tx: _shown(Organization(tx).edit(body.sent(), call.expect)))

    return router


def _shown(current: CurrentSettings) -> dict[str, Any]:
    lasting = {"revision": current.revision, "updated_at": current.updated_at}
    return written_settings(current.settings) | camel(lasting)
