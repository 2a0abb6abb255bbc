"""A server for scenarios."""

import pytest

from tests import harness


@pytest.fixture(scope="session")
def server(database_server: harness.Databases) -> str:
    """URL of the worker's PostgreSQL."""
    return database_server.url("postgres")
