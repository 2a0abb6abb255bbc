"""What assets are given. Put here: how the environment becomes a lake, a database, a Redis, a scope. Keep out: rules.

Nothing connects at import time: Dagster makes these when a run or a tick needs them.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._config.pythonic_config import ConfigurableResourceFactory
from pydantic import Field
from redis import Redis
from sqlalchemy import Engine

from expectations.data_docs import DataDocs
from storage.bill_claims import BillClaim
from storage.connections import connect
from storage.database import engine_of
from storage.lake import Lake
from storage.scope import Scope


class LakeFactory(ConfigurableResourceFactory[Lake]):
    """The lake: a folder or a bucket URL."""

    url: str

    def create_resource(self, context: dg.InitResourceContext) -> Lake:
        return Lake(self.url)


class DatabaseFactory(ConfigurableResourceFactory[Engine]):
    """PostgreSQL by a plain postgresql:// URL."""

    url: str

    def create_resource(self, context: dg.InitResourceContext) -> Engine:
        return engine_of(self.url)


class ClaimFactory(ConfigurableResourceFactory[BillClaim]):
    """The months a run has taken for itself; it lets go of them when it ends, however it ends."""

    database: dg.ResourceDependency[Engine]

    def create_resource(self, context: dg.InitResourceContext) -> BillClaim:
        return BillClaim(self.database)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[BillClaim, None, None]:
        claim = self.create_resource(context)
        try:
            yield claim
        finally:
            claim.release()


class RedisFactory(ConfigurableResourceFactory[Redis]):
    """The event log and hot state."""

    url: str

    def create_resource(self, context: dg.InitResourceContext) -> Redis:
        return connect(self.url)


class ScopeFactory(ConfigurableResourceFactory[Scope]):
    """Which tenants and customers a run is for; empty lists mean all. The rerun replaces exactly their rows."""

    tenants: list[str] = Field(default_factory=list, description="ids; empty: all")
    customers: list[str] = Field(default_factory=list, description="ids; empty: all")

    def create_resource(self, context: dg.InitResourceContext) -> Scope:
        return Scope(tenants=tuple(self.tenants), customers=tuple(self.customers))


class DataDocsFactory(ConfigurableResourceFactory[DataDocs]):
    """Great Expectations' pages below the data folder; the control API serves them."""

    home: str

    def create_resource(self, context: dg.InitResourceContext) -> DataDocs:
        port = os.environ.get("AFORO_CONTROL_PORT", "8788")
        return DataDocs(Path(self.home) / "data-docs", f"http://127.0.0.1:{port}/data-docs")


def resources() -> dict[str, object]:
    """All resources, from the environment the stack sets for its processes; read when a run needs them."""
    return {
        "lake": LakeFactory(url=dg.EnvVar("AFORO_LAKE_URL")),
        "database": DatabaseFactory(url=dg.EnvVar("AFORO_DATABASE_URL")),
        "redis": RedisFactory(url=dg.EnvVar("AFORO_REDIS_URL")),
        "scope": ScopeFactory.configure_at_launch(),
        "docs": DataDocsFactory(home=dg.EnvVar("AFORO_HOME")),
    }
