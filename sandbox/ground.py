"""Where a scenario is played: a database and a lake that are gone afterwards. Put here: making and removing them. Keep out: starting
the server (stack does), what is played."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

import psycopg
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from sandbox.clock import INSTALL, SEARCH_PATH
from storage.database import MIGRATIONS, make_engine, migrate
from storage.lake import Lake


@dataclass(frozen=True)
class Ground:
    """One scenario's database and lake."""

    database: Engine
    lake: Lake


@contextmanager
def ground(server: str) -> Iterator[Ground]:
    """A migrated, empty database and an empty lake. server: URL of a PostgreSQL in which databases may be made; the migrated
    template stays there for the next time."""
    template = _template(server)
    name = f"aforo_sandbox_{token_hex(8)}"
    _clone(server, template, name)
    engine = make_engine(_at(server, name), pool_size=2)
    folder = Path(tempfile.mkdtemp(prefix="aforo-sandbox-"))
    try:
        yield Ground(engine, Lake(str(folder / "lake")))
    finally:
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
        with psycopg.connect(_at(server, "postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _clone(server: str, template: str, name: str) -> None:
    of = sql.Identifier(name)
    with psycopg.connect(_at(server, "postgres"), autocommit=True) as admin:
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        admin.execute(clone.format(of, sql.Identifier(template)))
        path = sql.SQL("ALTER DATABASE {} SET search_path = " + SEARCH_PATH)
        admin.execute(path.format(of))


def _template(server: str) -> str:
    """The name of the migrated database that others are copies of; made on first use, and anew when the migrations change."""
    name = f"aforo_sandbox_of_{_schema_version()}"
    with psycopg.connect(_at(server, "postgres"), autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(hashtext('aforo:sandbox'))")
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return name
        # Under another name until it is whole: a template that a crash left half made would serve nobody.
        draft = f"{name}_draft"
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(draft)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
        migrate(_at(server, draft))
        with psycopg.connect(_at(server, draft), autocommit=True) as fresh:
            fresh.execute(INSTALL)
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        admin.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
    return name


def _schema_version() -> str:
    digest = sha256(INSTALL.encode())
    for file in sorted(MIGRATIONS.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _at(server: str, database: str) -> str:
    """The server's URL with another database, as psycopg reads it."""
    return make_url(server).set(database=database).render_as_string(hide_password=False)
