"""The step before everything that needs the database: it exists, and its tables are of this version.
Keep out: the tables (storage)."""

from __future__ import annotations

import os

import psycopg

from stack.embedded import Postgres
from stack.settings import Settings


def main() -> None:
    """Make the embedded database if it is ours, bring our tables up to date, make room for Dagster's."""
    settings = Settings()
    if "AFORO_EMBEDDED_DATABASE" in os.environ:
        Postgres(settings.folder / "postgres").create_database()
    assert settings.database_url is not None, (
        "AFORO_DATABASE_URL is not set: the supervisor sets it for its children"
    )
    prepare(settings.database_url)


def prepare(database_url: str) -> None:
    """Our tables of this version, and room for Dagster's; safe to call again."""
    from storage.database import migrate

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
    migrate(database_url)


if __name__ == "__main__":
    main()
