"""A small catalog for tests of subscriptions. Keep out: assertions."""

from __future__ import annotations

from typing import Any

from domain.catalog.catalog import read_catalog
from storage.catalog_service import apply_catalog
from storage.database import session_scope
from tests.api.control.conftest import Api

CATALOG: dict[str, Any] = {
    "units": [{"key": "calls", "aggregation": "COUNT"}, {"key": "seats", "aggregation": "MAX"}],
    "ratePlans": [
        {"key": "pro", "name": "Pro", "baseFee": "30", "metrics": [{"unit": "calls", "rate": "0.01"}]},
        {"key": "max", "name": "Max", "baseFee": "90", "metrics": [{"unit": "calls", "rate": "0.005"}]},
        {"key": "team", "name": "Team", "baseFee": "5", "metrics": [{"unit": "seats", "rate": "1"}]},
    ],
    "offerings": [
        {"code": "pro", "name": "Pro", "ratePlan": "pro", "trialDays": 14},
        {"code": "max", "name": "Max", "ratePlan": "max"},
        {"code": "team", "name": "Team", "ratePlan": "team"},
        {"code": "draft", "name": "Draft", "ratePlan": "team", "status": "DRAFT"},
    ],
    "customers": [{"id": "ann"}, {"id": "bob", "timeZone": "America/New_York"}],
}
SUBSCRIPTIONS = "/api/v1/subscriptions"


def fill(api: Api, tenant: str = "acme") -> None:
    """The catalog, in the tenant's own database rows."""
    with session_scope(api.database_url) as session:
        apply_catalog(session, read_catalog({"tenant": {"id": tenant}, **CATALOG}))


def subscribed(api: Api, offering: str = "pro", customer: str = "ann", **more: Any) -> dict[str, Any]:
    """A subscription agreed over HTTP."""
    asked = {"customerId": customer, "offeringId": offering, **more}
    found: dict[str, Any] = api.made(SUBSCRIPTIONS, asked)
    return found
