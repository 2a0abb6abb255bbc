"""Shapes of tenants, customers, keys and records about them. Keep out: money, rules."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from api.control.shapes.shown import Instant, Kept, Object, Shown


class Tenant(Kept):
    """A tenant."""

    id: str
    external_id: str | None
    name: str
    tier: str
    description: str | None
    currency: str
    time_zone: str
    status: str
    metadata: Object


class BillingEntity(Kept):
    """An issuer of invoices."""

    id: str
    code: str
    display_name: str
    legal_name: str | None
    base_currency: str
    reporting_currency: str | None
    time_zone: str
    invoice_prefix: str
    invoice_number_format: str
    rounding_mode: str
    tax_registration: str | None
    registered_in: list[str] | None
    address: Object | None
    branding: Object | None
    is_default: bool


class ProvisionedEntity(BillingEntity):
    """A tenant's default issuer."""

    entity_id: str
    tenant_id: str


class Customer(Kept):
    """A customer."""

    id: str
    name: str
    email: str | None
    plan: str = Field(examples=["STANDARD"])
    default_currency: str
    time_zone: str
    external_id: str | None
    tax_status: Object | None
    address: Object | None
    billing_entity: str | None
    payment_due_days: int | None = None
    metadata: Object
    status: str


class Team(Kept):
    """A team of a customer."""

    id: str
    name: str
    customer_id: str
    budget: Object | None
    status: str


class App(Kept):
    """An app of a customer."""

    id: str
    type: str = Field(examples=["APP"])
    name: str
    customer_id: str
    team_id: str | None
    description: str | None
    status: str


class Agent(App):
    """An AI agent of a customer."""

    agent_type: str = Field(examples=["CLAUDE"])
    capabilities: list[str]
    rate_limits: dict[str, int]


class ApiKey(Shown):
    """A customer's key, without its secret."""

    id: str
    name: str | None
    customer_id: str | None
    accessor_id: str | None
    accessor_type: str | None
    credential_type: str = Field(json_schema_extra={"enum": ["BEARER_TOKEN", "CLIENT_CREDENTIALS"]})
    client_id: str | None
    product_id: str | None
    subscription_ids: list[str]
    environment: str = Field(examples=["live"])
    scopes: list[str]
    ip_ranges: list[str]
    prefix: str | None
    replaces: str | None
    status: str = Field(examples=["ACTIVE"])
    expires_at: Instant | None
    revoke_at: Instant | None
    revoked_at: Instant | None
    revoke_reason: str | None
    revision: int
    created_at: Instant
    updated_at: Instant


class NewApiKey(ApiKey):
    """A key with its secret, which is shown this once: `secret`, or `clientSecret` beside the client id."""

    secret: str | None = None
    client_secret: str | None = None


class OperatorKey(Shown):
    """An operator's key, without its secret."""

    id: str
    name: str
    role: str
    prefix: str
    status: str
    created_by: str
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None
    revoked_at: Instant | None
    revision: int


class NewOperatorKey(OperatorKey):
    """An operator's key with its secret, which is shown this once."""

    secret: str


class OrganizationSettings(Shown):
    """A tenant's settings."""

    profile: Object
    default_currency: str
    time_zone: str
    billing_anchor: int
    ai_provider_rates: list[Object]
    retention_policies: dict[str, int]
    theme: Object
    terms: Object
    corrections: Object
    revision: int
    updated_at: Instant | None


class Entry(Shown):
    """The audit log's names have underscores."""

    model_config = ConfigDict(alias_generator=None)


class AuditActor(Entry):
    """Who did it."""

    user_id: str
    role: str | None
    ip: str | None


class AuditTarget(Entry):
    """What it was done to."""

    type: str
    id: str
    name: str | None


class AuditCircumstances(Entry):
    """Why, and in which request."""

    reason: str | None
    request_id: str | None


class AuditEntry(Entry):
    """An act. changes: field to `{before, after}`. hash: of this entry and prev_hash."""

    event_id: str
    timestamp: Instant
    actor: AuditActor
    action: str = Field(examples=["CUSTOMER_CREATED"])
    target: AuditTarget
    changes: dict[str, Any]
    metadata: AuditCircumstances
    prev_hash: str
    hash: str


class AuditVerdict(Shown):
    """Whether the chain of hashes is whole."""

    intact: bool
    entries: int
    first_broken: str | None
    problem: str | None
    newest_hash: str | None = Field(
        description="Of the last entry that holds; keep it elsewhere to notice a chain made anew."
    )


class SigningKeys(Shown):
    """The public keys tokens are signed with."""

    keys: list[Object]


class WebhookSource(Shown):
    """A sender of webhooks, without its secret."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    signature_header: str
    signature_algorithm: str
    customer_id_path: str
    metric_key_path: str | None
    quantity_path: str | None
    timestamp_path: str | None
    provider: str
    metric_key: str | None
    event_filter: str | None
    event_type_path: str | None
    event_id_path: str | None
    created_at: Instant


class NewWebhookSource(WebhookSource):
    """A source with its secret, which is shown this once."""

    secret: str
