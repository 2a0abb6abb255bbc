"""Products. Put here: what a product is, and how it is read. Keep out: units' definitions, prices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from domain.catalog.fields import FieldProblem, Fields, shown

TYPES = (
    "API", "AI_AGENT", "MCP_SERVER", "AGENTIC_API", "GRAPHQL_API", "GRPC_API", "WEBSOCKET_API", "MQTT_BROKER",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Product:
    """Something the tenant sells access to; `units` are the keys of the units that meter it. `details`: JSON text."""

    key: str
    name: str
    type: str
    description: str | None = None
    units: tuple[str, ...] = ()
    details: str = "{}"


def read_product(fields: Fields) -> Product:
    """Raises FieldProblem."""
    name, details = fields.raw("metadata")
    if details is not None and not isinstance(details, Mapping):
        raise FieldProblem(fields.at(name), f"{shown(details)} is not an object")
    key = fields.key("key")
    product = Product(
        key=key,
        name=fields.maybe_text("name") or key,
        type=fields.choice("type", TYPES),
        description=fields.maybe_text("description"),
        units=fields.keys("units"),
        details=json.dumps(details or {}, sort_keys=True, default=str),
    )
    fields.done()
    return product
