"""PostgreSQL: connections, sessions, migrations, locks. Put here: how we talk to it. Keep out: tables, queries."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

import storage.tables.all  # noqa: F401 — foreign keys are resolved by name
from domain.errors import PermanentFailure, TransientFailure

MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseUnavailable(TransientFailure):
    """PostgreSQL did not answer, or dropped the connection."""

    code = "DATABASE_UNAVAILABLE"


class NotAPostgresUrl(PermanentFailure):
    """The URL names another kind of database."""

    code = "NOT_A_POSTGRES_URL"


def sqlalchemy_url(url: str) -> str:
    """A plain `postgresql://…` URL as SQLAlchemy wants it for psycopg 3. Raises NotAPostgresUrl."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise NotAPostgresUrl(
            f"database URL: {parsed.drivername!r} is not PostgreSQL; use postgresql://user@host/name"
        )
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def make_engine(url: str, *, pool_size: int = 5, max_overflow: int = 10) -> Engine:
    """A new engine; connections are tried before use, because PostgreSQL may have been restarted. Caller disposes.

    The connection used last is used next: it has its statements prepared.
    """
    return create_engine(
        sqlalchemy_url(url),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_use_lifo=True,
    )


@lru_cache(maxsize=8)
def engine_of(url: str) -> Engine:
    """The process-wide engine of a URL."""
    return make_engine(url)


@contextmanager
def session_scope(engine: Engine | str) -> Iterator[Session]:
    """A session in one transaction: committed at the end, rolled back on any error. Raises DatabaseUnavailable."""
    bound = engine_of(engine) if isinstance(engine, str) else engine
    try:
        with Session(bound, expire_on_commit=False) as session, session.begin():
            yield session
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(f"database: {error.orig}; it is down or restarting, try again") from error


def lock_id(name: str) -> int:
    """The 64-bit number PostgreSQL knows a named advisory lock by."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)


@contextmanager
def advisory_lock(engine: Engine | str, name: str) -> Iterator[Connection]:
    """Hold the named lock across processes, waiting for it; it is freed when the block or the process ends."""
    bound = engine_of(engine) if isinstance(engine, str) else engine
    with bound.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:id)"), {"id": lock_id(name)})
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:id)"), {"id": lock_id(name)})
            connection.commit()


def migrate(url: str) -> None:
    """Bring the database to the newest revision; safe to call at once from several processes, and again."""
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = make_engine(url, pool_size=1)
    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with advisory_lock(engine, "aforo:migrate") as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except (OperationalError, InterfaceError) as error:
        raise DatabaseUnavailable(f"database: {error.orig}; it is down or restarting, try again") from error
    finally:
        engine.dispose()
