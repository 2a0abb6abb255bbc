"""Databases of earlier releases. Put here: making one and bringing it on. Keep out: claims about them (test_*_migration.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from storage.database import MIGRATIONS, sqlalchemy_url


@contextmanager
def unmigrated(beside: str) -> Iterator[Connection]:
    """A connection to a new, empty database on the server of this URL; dropped in the end."""
    admin = create_engine(sqlalchemy_url(beside), isolation_level="AUTOCOMMIT")
    name = "before_" + str(admin.url.database)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(admin.url.set(database=name))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def upgrade(connection: Connection, revision: str) -> None:
    """Bring it to the revision."""
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.commit()
