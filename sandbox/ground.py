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

_PREFIX = "aforo_sandbox_"


@dataclass(frozen=True)
class Ground:
    """One scenario's database and lake."""

    database: Engine
    lake: Lake


@contextmanager
def ground(server: str) -> Iterator[Ground]:
    """A migrated, empty database and an empty lake. server: URL of a PostgreSQL in which databases may be made; the migrated
    template stays there for the next time. What killed scenarios and other migrations left there is removed first."""
    mark = token_hex(8)
    name, folder = _PREFIX + mark, _folder(mark)
    with psycopg.connect(_at(server, "postgres"), autocommit=True) as admin:
        with _alone(admin):
            # Held as long as this connection lives, so as long as this process does: by it others know that the scratch is in use.
            admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
            template = _template(server, admin)
            _sweep(admin, template)
            _clone(admin, template, name)
        engine = make_engine(_at(server, name), pool_size=2)
        folder.mkdir(mode=0o700)
        try:
            yield Ground(engine, Lake(str(folder / "lake")))
        finally:
            engine.dispose()
            shutil.rmtree(folder, ignore_errors=True)
            _drop(admin, name)


def _folder(mark: str) -> Path:
    return Path(tempfile.gettempdir()) / f"aforo-sandbox-{mark}"


@contextmanager
def _alone(admin: psycopg.Connection) -> Iterator[None]:
    """One at a time makes, copies and removes databases of sandboxes."""
    admin.execute("SELECT pg_advisory_lock(hashtext('aforo:sandbox'))")
    try:
        yield
    finally:
        admin.execute("SELECT pg_advisory_unlock(hashtext('aforo:sandbox'))")


def _clone(admin: psycopg.Connection, template: str, name: str) -> None:
    of = sql.Identifier(name)
    clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    admin.execute(clone.format(of, sql.Identifier(template)))
    path = sql.SQL("ALTER DATABASE {} SET search_path = " + SEARCH_PATH)
    admin.execute(path.format(of))


def _drop(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _template(server: str, admin: psycopg.Connection) -> str:
    """The name of the migrated database that others are copies of; made on first use, and anew when the migrations change."""
    name = f"{_PREFIX}of_{_schema_version()}"
    if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        return name
    # Under another name until it is whole: a template that a crash left half made would serve nobody.
    draft = f"{name}_draft"
    _drop(admin, draft)
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(draft)))
    migrate(_at(server, draft))
    with psycopg.connect(_at(server, draft), autocommit=True) as fresh:
        fresh.execute(INSTALL)
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    admin.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
    return name


def _sweep(admin: psycopg.Connection, template: str) -> None:
    """Remove templates of other migrations, and the scratch of scenarios that were killed: whose lock nobody holds."""
    found = admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [_PREFIX])
    for (name,) in found.fetchall():
        mark = name.removeprefix(_PREFIX)
        if mark.startswith("of_"):
            if name != template:
                _drop(admin, name)
        elif _is_free(admin, name):
            shutil.rmtree(_folder(mark), ignore_errors=True)
            _drop(admin, name)


def _is_free(admin: psycopg.Connection, name: str) -> bool:
    query = "SELECT pg_try_advisory_lock(hashtext(%s))"
    row = admin.execute(query, [name]).fetchone()
    if row is None or not row[0]:
        return False
    admin.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    return True


def _schema_version() -> str:
    digest = sha256(INSTALL.encode())
    for file in sorted(MIGRATIONS.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _at(server: str, database: str) -> str:
    """The server's URL with another database, as psycopg reads it."""
    return make_url(server).set(database=database).render_as_string(hide_password=False)
