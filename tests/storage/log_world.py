"""A tenant whose events go straight into the log. Put here: its door and its events. Keep out: fixtures, requests of single tests."""

from __future__ import annotations

from domain.access import UnitRecord
from domain.usage import Door, UsageEvent, read_event

TENANT, NOW = "t1", 1_772_366_400_000_000
DOOR = Door(TENANT, {"tokens": UnitRecord("tokens", "Tokens", "SUM")})


def event(key: str, quantity: object = 1, unit: str = "tokens") -> UsageEvent:
    """As read at `NOW`; an unknown unit is refused."""
    sent = {"customerId": "acme", "metricName": unit, "quantity": quantity, "idempotencyKey": key}
    return read_event(sent, DOOR, received_at=NOW)
