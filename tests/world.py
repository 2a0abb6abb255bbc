"""A small running world for tests: a catalog, events through the door's own rules, Dagster runs in process.

Put here: driving the real parts together. Keep out: catalogs and events of single tests (tests/scenarios.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import yaml
from redis import Redis

from domain.catalog.catalog import read_catalog
from domain.usage import Door, read_event
from orchestration.definitions import definitions
from orchestration.resources import DatabaseFactory, DataDocsFactory, LakeFactory, RedisFactory, ScopeFactory
from storage import event_log, hot_state
from storage.catalog_service import apply_catalog
from storage.database import session_scope
from storage.lake import Lake
from storage.repositories.rights import tenant_rights
from storage.scope import Scope

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def micros(text: str) -> int:
    """Epoch microseconds of an ISO time in UTC."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@dataclass
class World:
    """Real PostgreSQL, Valkey and Delta, and a Dagster instance that is forgotten at the end."""

    database_url: str
    redis_url: str
    lake_url: str
    docs: Path
    instance: dg.DagsterInstance
    runs: list[dg.ExecuteInProcessResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lake = Lake(self.lake_url)
        self.redis = Redis.from_url(self.redis_url)
        self.defs = definitions(
            {
                "lake": LakeFactory(url=self.lake_url),
                "database": DatabaseFactory(url=self.database_url),
                "redis": RedisFactory(url=self.redis_url),
                "scope": ScopeFactory.configure_at_launch(),
                "docs": DataDocsFactory(home=str(self.docs.parent)),
            }
        )

    def apply(self, catalog: str) -> None:
        """Apply a catalog (YAML) and publish its rights."""
        read = read_catalog(yaml.load(catalog, yaml.BaseLoader))
        with session_scope(self.database_url) as session:
            apply_catalog(session, read)
        with session_scope(self.database_url) as session:
            hot_state.publish(self.redis, tenant_rights(session, read.tenant.id, datetime.now(UTC)))

    def send(
        self, tenant: str, events: Iterable[Mapping[str, Any]], *, received: str, backfill: str | None = None
    ) -> str:
        """Events through the door in one request received at that time; returns the verdicts."""
        door = Door(tenant, hot_state.read_units(self.redis, tenant), backfill=backfill)
        sent = [dict(event) for event in events]
        read = [
            read_event(event, door, received_at=micros(received), position=n) for n, event in enumerate(sent)
        ]
        texts = [json.dumps(event, default=str) for event in sent]
        event_log.announce(self.redis, tenant)
        request = event_log.Request(
            tenant, "test", "key_test", micros(received), read, texts, [[] for _ in sent]
        )
        return event_log.append(self.redis, request).verdicts

    def run(
        self, job: str, *, month: str | None = None, expect: bool = True, **scope: list[str]
    ) -> dg.ExecuteInProcessResult:
        """A job, for a month and scope; the run must end as expected."""
        config = {"resources": {"scope": {"config": scope}}} if scope else {}
        result = self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=month, run_config={**QUIET, **config}, raise_on_error=False
        )
        failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
        assert result.success is expect, f"{job}: success is {result.success}; {failures}"
        self.runs.append(result)
        return result

    def ingest(self) -> dg.ExecuteInProcessResult:
        return self.run("ingest")

    def close(self, month: str, *, expect: bool = True, **scope: list[str]) -> dg.ExecuteInProcessResult:
        return self.run("close_month", month=month, expect=expect, **scope)

    def rows(self, table: str, **scope: Any) -> pl.DataFrame:
        """A table's rows in a scope (month=, tenants=, customers=)."""
        return self.lake.scan(table, Scope(**scope)).collect()
