"""Catalogs for storage tests, as plain documents. Keep out: assertions."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from sqlalchemy.orm import Session

from domain.catalog.catalog import read_catalog
from storage.catalog_service import Plan, apply_catalog
from storage.repositories.keys import IssuedKey

ACME: dict[str, Any] = {
    "tenant": {"id": "acme", "name": "Acme", "currency": "USD"},
    "units": [
        {"key": "calls", "name": "API Calls", "aggregation": "COUNT"},
        {"key": "bytes", "name": "Bytes", "aggregation": "SUM"},
    ],
    "products": [
        {
            "key": "api",
            "type": "API",
            "units": ["calls", "bytes"],
            "metadata": {"base_path": "/v1", "api_version": "1"},
        }
    ],
    "ratePlans": [
        {
            "key": "pro",
            "name": "Pro",
            "baseFee": "49",
            "metrics": [
                {"unit": "calls", "model": "INCLUDED_QUOTA", "includedFree": 1000, "rate": "0.001"},
                {
                    "unit": "bytes",
                    "model": "GRADUATED",
                    "tiers": [{"upTo": 1000, "unitPrice": "0.01"}, {"unitPrice": "0.008"}],
                },
            ],
        }
    ],
    "offerings": [
        {
            "code": "pro",
            "ratePlan": "pro",
            "entitlements": [{"feature": "sso"}, {"feature": "calls", "unit": "calls", "limit": 5000}],
        }
    ],
    "customers": [{"id": "ann"}, {"id": "bob", "timeZone": "America/New_York"}],
    "subscriptions": [
        {"id": "sub_ann", "customer": "ann", "offering": "pro", "startDate": "2023-11-01"},
        {"id": "sub_bob", "customer": "bob", "offering": "pro", "startDate": "2023-10-10"},
    ],
    "keys": [{"name": "main"}, {"name": "ann", "customer": "ann"}],
}


def acme(**sections: Any) -> dict[str, Any]:
    """ACME with some sections replaced."""
    return {**deepcopy(ACME), **sections}


def applied(session: Session, document: dict[str, Any]) -> tuple[Plan, list[IssuedKey]]:
    """The document applied in the session."""
    return apply_catalog(session, read_catalog(document))
