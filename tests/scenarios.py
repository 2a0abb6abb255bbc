"""Named worlds as plain constants. Put here: catalogs and events that several tests share. Keep out: driving them."""

from __future__ import annotations

from typing import Any

MARCH = "2026-03"

TWO_TENANTS = {
    tenant: f"""
tenant: {{id: {tenant}, name: {tenant.title()}, currency: USD}}
units:
  - {{key: api_calls, name: API Calls, aggregation: COUNT}}
  - {{key: gigabytes, name: Gigabytes, aggregation: SUM}}
ratePlans:
  - key: basic
    name: Basic
    currency: USD
    baseFee: 10.00
    metrics:
      - {{unit: api_calls, model: INCLUDED_QUOTA, includedFree: 2, rate: 0.50}}
      - unit: gigabytes
        model: GRADUATED
        tiers: [{{upTo: 10, unitPrice: 1}}, {{unitPrice: 0.5}}]
offerings:
  - {{code: basic, name: Basic, ratePlan: basic, currency: USD}}
customers:
  - {{id: ada, name: Ada}}
  - {{id: bob, name: Bob}}
subscriptions:
  - {{id: sub-ada, customer: ada, offering: basic, startDate: 2026-01-01}}
  - {{id: sub-bob, customer: bob, offering: basic, startDate: 2026-01-01}}
"""
    for tenant in ("acme", "globex")
}


def event(customer: str, unit: str, quantity: object, at: str, key: str, **more: Any) -> dict[str, Any]:
    """A usage event as a client sends it."""
    return {
        "customerId": customer, "metricName": unit, "quantity": quantity, "occurredAt": at, "idempotencyKey": key, **more,
    }  # fmt: skip


MARCH_USAGE = [
    *(event("ada", "api_calls", 1, f"2026-03-0{day}T12:00:00Z", f"ada-call-{day}") for day in range(1, 6)),
    event("ada", "gigabytes", "8.5", "2026-03-10T00:00:00Z", "ada-gb-1"),
    event("ada", "gigabytes", "4", "2026-03-11T00:00:00Z", "ada-gb-2"),
    event("bob", "api_calls", 1, "2026-03-02T08:00:00Z", "bob-call-1"),
]
"""ada: 5 calls → 3 over 2 free → 1.50; 12.5 GB → 10 + 1.25 = 11.25; base 10.00: 22.75. bob: 0 + 0 + 10.00 = 10.00."""
