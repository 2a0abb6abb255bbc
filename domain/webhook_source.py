"""Webhook sources. Put here: what a sender of webhooks agrees to, and how it is read. Keep out: receiving, secrets at rest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.catalog.fields import FieldProblem, Fields, shown

ALGORITHMS = ("hmac-sha256",)
PROVIDERS = ("GENERIC", "STRIPE", "TWILIO", "SENDGRID", "GITHUB", "SLACK")
"""Who signs in a way of its own; GENERIC: the body's HMAC in hex, in a header of the source's choice."""
REPLAY_SECONDS = 300
"""A signature that says when it was made is good for so long."""
DEFAULT_HEADER = "X-Aforo-Signature"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_JSON_PATH = re.compile(r"\$[.\[].{1,500}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class WebhookSource:
    """Where in a webhook's body the usage stands (JSONPath), and how its sender signs it.

    metric_key: the unit, where it is the same for all; otherwise metric_key_path finds it. quantity_path: None counts each
    webhook as one. timestamp_path: None is the time of receipt. event_filter: the types let through, comma-separated, None: all.
    event_type_path, event_id_path: where type and id stand; None: where the provider has them.
    """

    name: str
    description: str | None
    signature_header: str
    signature_algorithm: str
    customer_id_path: str
    metric_key_path: str | None
    quantity_path: str | None
    timestamp_path: str | None
    provider: str = PROVIDERS[0]
    metric_key: str | None = None
    event_filter: str | None = None
    event_type_path: str | None = None
    event_id_path: str | None = None


@dataclass(frozen=True, slots=True)
class ListedSource:
    """A source as a catalog file lists it. Its secret is never in a file."""

    id: str
    source: WebhookSource


def read_listed_source(fields: Fields, tenant_id: str) -> ListedSource:
    """Raises FieldProblem."""
    return ListedSource(fields.key("id"), read_webhook_source(fields, tenant_id=tenant_id))


def written_source(listed: ListedSource) -> dict[str, str]:
    """As it is read; fields without a value are left out."""
    source = listed.source
    written = {
        "id": listed.id,
        "name": source.name,
        "description": source.description,
        "signatureHeader": source.signature_header,
        "signatureAlgorithm": source.signature_algorithm,
        "customerIdPath": source.customer_id_path,
        "metricKeyPath": source.metric_key_path,
        "quantityPath": source.quantity_path,
        "timestampPath": source.timestamp_path,
        "provider": source.provider,
        "metricKey": source.metric_key,
        "eventFilter": source.event_filter,
        "eventTypePath": source.event_type_path,
        "eventIdPath": source.event_id_path,
    }
    return {name: value for name, value in written.items() if value is not None}


def read_webhook_source(fields: Fields, *, tenant_id: str) -> WebhookSource:
    """tenant_id: whose it will be; `tenantId` may say so too, but nothing else. Raises FieldProblem."""
    said = fields.maybe_text("tenantId")
    if said is not None and said != tenant_id:
        raise FieldProblem(
            fields.at("tenantId"), f"{shown(said)} is not the tenant of this request, {tenant_id}"
        )
    source = WebhookSource(
        name=fields.text("name"),
        description=fields.maybe_text("description"),
        signature_header=fields.maybe_text("signatureHeader") or DEFAULT_HEADER,
        signature_algorithm=(fields.maybe_text("signatureAlgorithm") or ALGORITHMS[0]).lower(),
        customer_id_path=_path(fields, "customerIdPath", fields.text("customerIdPath")),
        metric_key_path=_maybe_path(fields, "metricKeyPath"),
        quantity_path=_maybe_path(fields, "quantityPath"),
        timestamp_path=_maybe_path(fields, "timestampPath"),
        provider=(fields.maybe_text("provider") or PROVIDERS[0]).upper(),
        metric_key=fields.maybe_text("metricKey", "metricId"),
        event_filter=fields.maybe_text("eventFilter"),
        event_type_path=_maybe_path(fields, "eventTypePath"),
        event_id_path=_maybe_path(fields, "eventIdPath"),
    )
    if source.metric_key is None and source.metric_key_path is None:
        raise FieldProblem(
            fields.at("metricKeyPath"),
            "is missing; say where the unit stands, or metricKey if it is always one",
        )
    if source.provider not in PROVIDERS:
        found = shown(source.provider)
        raise FieldProblem(fields.at("provider"), f"{found} is not known; use {', '.join(PROVIDERS)}")
    if not _HEADER.fullmatch(source.signature_header):
        raise FieldProblem(
            fields.at("signatureHeader"), f"{shown(source.signature_header)} is no name of a header"
        )
    if source.signature_algorithm not in ALGORITHMS:
        found = shown(source.signature_algorithm)
        raise FieldProblem(
            fields.at("signatureAlgorithm"), f"{found} is not known; use {', '.join(ALGORITHMS)}"
        )
    fields.done()
    return source


def _maybe_path(fields: Fields, name: str) -> str | None:
    text = fields.maybe_text(name)
    return None if text is None else _path(fields, name, text)


def _path(fields: Fields, name: str, text: str) -> str:
    if not _JSON_PATH.fullmatch(text):
        raise FieldProblem(
            fields.at(name), f"{shown(text)} is no JSONPath; write one like $.data.customer.id"
        )
    return text
