"""A large tenant for the control plane. Put here: a hundred thousand customers in the database, catalog files of any size. Keep
out: what is measured over them.

Rows are copied in by SQL with triggers off, because agreeing them one by one is what is being measured.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import yaml
from redis import Redis
from sqlalchemy import insert

from domain.catalog.catalog import read_catalog
from storage.catalog_service import apply_catalog
from storage.database import make_engine, session_scope
from storage.repositories.keys import sha256_of
from storage.rights_publishing import publish_tenant
from storage.tables.doors import OperatorKeyRow

TENANT = "bench"
OFFERINGS = 20
"""Customer n, if odd, subscribes to offering n modulo this."""

_CUSTOMERS = """
INSERT INTO customers (tenant_id, id, name, email, plan, currency, time_zone, external_id, created_at, updated_at)
SELECT %(tenant)s, 'cus_' || n, initcap(substr(md5(n::text), 1, 8)) || ' ' || n, 'billing' || n || '@example.com', 'STANDARD', 'USD', 'UTC',
       'crm-' || n, at, at
FROM (SELECT n, now() - (%(count)s - n) * interval '1 second' AS at FROM generate_series(0, %(count)s - 1) n) made
"""
_SUBSCRIPTIONS = """
INSERT INTO subscriptions (tenant_id, id, customer_id, offering_id, plan_id, plan_version, billing_entity_id, status, start_date,
                           starts_at, billing_cycle, anchor_day, time_zone, created_at, updated_at)
SELECT %(tenant)s, 'sub_' || n, 'cus_' || n, 'offering-' || n %% %(offerings)s, 'plan-' || n %% %(offerings)s, 1, 'default', 'ACTIVE',
       date '2026-01-01', timestamptz '2026-01-01Z', 'MONTHLY', 1, 'UTC', at, at
FROM (SELECT n, now() - (%(count)s - n) * interval '1 second' AS at FROM generate_series(1, %(count)s - 1, 2) n) made
"""
_PHASES = """
INSERT INTO subscription_phases (tenant_id, subscription_id, number, state, offering_id, plan_id, plan_version, reason, actor, starts_at)
SELECT tenant_id, id, 1, 'ACTIVE', offering_id, plan_id, plan_version, 'agreed', 'operator', starts_at FROM subscriptions
"""


def fill(database_url: str, redis_url: str, customers: int) -> str:
    """A catalog, the customers, half of them subscribed, rights published; the secret of an operator key of the tenant."""
    engine = make_engine(database_url)
    secret = "afo_" + secrets.token_hex(20)
    key = {"tenant_id": TENANT, "id": "opk_bench", "name": "bench", "role": "OWNER", "status": "ACTIVE"}
    key |= {"prefix": secret[:8], "secret_sha256": sha256_of(secret), "created_by": "bench"}
    with session_scope(engine) as session:
        apply_catalog(session, read_catalog(_document()))
        session.execute(insert(OperatorKeyRow), key)
    values = {"tenant": TENANT, "count": customers, "offerings": OFFERINGS}
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in (_CUSTOMERS, _SUBSCRIPTIONS):
            connection.execute(statement, values)
        connection.execute(_PHASES)
        connection.execute("VACUUM ANALYZE")  # as autovacuum would have by the time so many are there
        connection.execute("CHECKPOINT")
    with Redis.from_url(redis_url) as redis:
        publish_tenant(engine, redis, TENANT, as_of=datetime.now(UTC))
    engine.dispose()
    return secret


def write_file(path: Path, customers: int) -> None:
    """A catalog file of another tenant with so many customers, half of them subscribed."""
    document = _document("file")
    document["customers"] = [
        {
            "id": f"cus_{n}",
            "name": f"Customer {n}",
            "email": f"billing{n}@example.com",
            "defaultCurrency": "USD",
        }
        for n in range(customers)
    ]
    document["subscriptions"] = [
        {
            "id": f"sub_{n}",
            "customer": f"cus_{n}",
            "offering": f"offering-{n % OFFERINGS}",
            "startDate": "2026-01-01",
        }
        for n in range(1, customers, 2)
    ]
    path.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))


def _document(tenant: str = TENANT) -> dict[str, Any]:
    """Twenty plans and offerings over four units."""
    units = [f"unit-{n}" for n in range(4)]
    prices = [{"unit": unit, "model": "PER_UNIT", "rate": "0.002"} for unit in units]
    limits = [
        {"feature": "sso"},
        *({"feature": unit, "unit": unit, "limit": 1_000_000} for unit in units),
    ]
    return {
        "tenant": {"id": tenant, "name": tenant, "currency": "USD", "timeZone": "UTC"},
        "units": [{"key": unit, "name": unit, "aggregation": "SUM"} for unit in units],
        "products": [
            {
                "key": "product",
                "name": "Product",
                "type": "API",
                "units": units,
                "metadata": {"base_path": "/v1", "api_version": "1"},
            }
        ],
        "ratePlans": [
            {
                "key": f"plan-{n}",
                "name": f"Plan {n}",
                "currency": "USD",
                "baseFee": "10.00",
                "metrics": prices,
            }
            for n in range(OFFERINGS)
        ],
        "offerings": [
            {
                "code": f"offering-{n}",
                "name": f"Offering {n}",
                "ratePlan": f"plan-{n}",
                "currency": "USD",
                "entitlements": limits,
            }
            for n in range(OFFERINGS)
        ],
    }
