"""Products. Put here: what a product is, and how it is read. Keep out: units' definitions, prices."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from domain.catalog.details import metadata
from domain.catalog.fields import FieldProblem, Fields, shown

TYPES = (
    "API", "AI_AGENT", "MCP_SERVER", "AGENTIC_API", "GRAPHQL_API", "GRPC_API", "WEBSOCKET_API", "MQTT_BROKER",
)  # fmt: skip
DRAFT, ACTIVE, ARCHIVED = "DRAFT", "ACTIVE", "ARCHIVED"
STATUSES = (DRAFT, ACTIVE, ARCHIVED)
REQUIRED_DETAILS = {"API": ("base_path", "api_version")}
"""What the metadata of a product of this type must say."""

_NAME = re.compile(r"[a-zA-Z0-9\s\-_.]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Product:
    """Something the tenant sells access to; `units` are the keys of the units that meter it. `details`: JSON text."""

    key: str
    name: str
    type: str
    description: str | None = None
    units: tuple[str, ...] = ()
    details: str = "{}"
    audience: str | None = None
    maturity_stage: str | None = None
    status: str = ACTIVE


def read_product(fields: Fields) -> Product:
    """Raises FieldProblem."""
    key = fields.key("key")
    kind = fields.choice("type", TYPES, None, "productType")
    product = Product(
        key=key,
        name=_name(fields, key),
        type=kind,
        description=fields.maybe_text("description"),
        units=_units(fields),
        details=_details(fields, kind),
        audience=fields.maybe_text("audience"),
        maturity_stage=fields.maybe_text("maturityStage"),
        status=fields.choice("status", STATUSES, ACTIVE),
    )
    fields.done()
    return product


def _units(fields: Fields) -> tuple[str, ...]:
    """By `units`, or as the wire may call them."""
    return tuple(dict.fromkeys(fields.keys(fields.raw("units", "metricIds")[0])))


def product_document(product: Product) -> dict[str, Any]:
    """The product as `read_product` reads it, every field."""
    return {
        "key": product.key,
        "name": product.name,
        "type": product.type,
        "description": product.description,
        "audience": product.audience,
        "maturityStage": product.maturity_stage,
        "status": product.status,
        "metadata": json.loads(product.details),
        "units": list(product.units),
    }


def _name(fields: Fields, default: str) -> str:
    name = fields.maybe_text("name") or default
    if not _NAME.fullmatch(name):
        right = "letters a to z, digits, spaces and - _ . only"
        raise FieldProblem(fields.at("name"), f"{shown(name)} cannot be a product's name; use {right}")
    return name


def _details(fields: Fields, kind: str) -> str:
    details = metadata(fields)
    for wanted in REQUIRED_DETAILS.get(kind, ()):
        if not str(details.get(wanted) or "").strip():
            raise FieldProblem(
                fields.at(f"metadata.{wanted}"), f"is missing; a product of type {kind} needs it"
            )
    return json.dumps(details, sort_keys=True)
