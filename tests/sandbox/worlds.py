"""A small world to change in tests."""

from __future__ import annotations

from typing import Any

CATALOG: dict[str, Any] = {
    "tenant": {"id": "acme", "name": "Acme", "currency": "USD"},
    "units": [{"key": "calls", "name": "Calls", "aggregation": "SUM"}],
    "ratePlans": [{"key": "api", "baseFee": 10, "metrics": [{"unit": "calls", "rate": "0.10"}]}],
    "offerings": [{"code": "api", "ratePlan": "api"}],
    "customers": [{"id": "ada", "name": "Ada"}],
    "subscriptions": [{"id": "sub-ada", "customer": "ada", "offering": "api", "startDate": "2026-03-01"}],
}
MARCH = {"from": "2026-03-01", "to": "2026-04-01"}


def scenario(**said: Any) -> dict[str, Any]:
    return {"name": "A test", "catalog": CATALOG, **said}


def many(**said: Any) -> dict[str, Any]:
    return {"generate": {"customer": "ada", "metric": "calls", "count": 100, **MARCH, **said}}
