"""Real servers for tests. Put here: starting PostgreSQL and Valkey once per worker, and clean databases out of them.
Keep out: fixtures (conftest.py) and worlds (scenarios.py)."""

from __future__ import annotations

import importlib.util
import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from stack import tether
from stack.embedded import Postgres, Valkey, free_port

TEMPLATE = "aforo_template"
WITHOUT_FSYNC = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))
"""A test's database need not outlive a power cut, only killed processes."""


MEMORY = Path("/dev/shm")
ENOUGH = 4 * 1024**3
"""Bytes: the write-ahead logs of two test workers' servers, a gigabyte each at most, and their databases."""


@contextmanager
def short_folder(within: Path | None = None) -> Iterator[Path]:
    """A temporary folder with a path short enough for unix sockets and open enough for PostgreSQL's own account."""
    folder = Path(tempfile.mkdtemp(prefix="aforo-", dir=within))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A short folder in memory, where there is room: a disk spends a quarter of the tests' time on making and forgetting files."""
    with short_folder(within=MEMORY if _has_room(MEMORY) else None) as folder:
        yield folder


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= ENOUGH


@contextmanager
def running(server: Postgres | Valkey, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The server, answering; ended on leaving, and by the kernel if this process dies first."""
    server.prepare()
    command = server.command()
    process = tether.spawn(command, log=log)
    try:
        wait_until(server.is_ready, what=f"{type(server).__name__} to answer (see {log})")
        yield process
    finally:
        tether.ask_to_stop(process, command.stop_signal)
        tether.finish(process)


def wait_until(holds: Callable[[], object], *, what: str, seconds: float = 30.0) -> None:
    """Poll until `holds()` is true; fail the test naming `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(0.05)


class Databases:
    """One PostgreSQL server: hands out databases cloned from a template that is migrated once."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        server.create_database(TEMPLATE)
        _migrate(server.url(TEMPLATE))

    def url(self, name: str) -> str:
        """Where a database of that name is, or would be."""
        return self._server.url(name)

    @contextmanager
    def fresh(self, name: str | None = None, *, like: str = TEMPLATE) -> Iterator[str]:
        """URL of a new database, dropped on leaving. name: where its URL must be known beforehand. like: the database it begins
        as a copy of; connections to that one are cut. By default it is a migrated one without rows."""
        name = name or f"test_{next(self._numbers)}"
        clone = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
            sql.Identifier(name), sql.Identifier(like)
        )
        with psycopg.connect(self._server.url("postgres"), autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [like])
            admin.execute(clone)
        try:
            yield self._server.url(name)
        finally:
            with psycopg.connect(self._server.url("postgres"), autocommit=True) as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _migrate(url: str) -> None:
    if importlib.util.find_spec("storage.database") is None:
        return
    from storage.database import migrate

    migrate(url)


@contextmanager
def databases() -> Iterator[Databases]:
    """A PostgreSQL server of this test worker."""
    with quick_folder() as folder:
        server = Postgres(folder / "pg", settings=WITHOUT_FSYNC)
        with running(server, folder / "postgres.log"):
            yield Databases(server)


@contextmanager
def valkey() -> Iterator[Valkey]:
    """A Valkey server of this test worker, as durable as the real one."""
    with short_folder() as folder:
        server = Valkey(folder / "valkey", port=free_port(), password=secrets.token_urlsafe(16))
        with running(server, folder / "valkey.log"):
            yield server


def forget_settings(environment: dict[str, str]) -> dict[str, str]:
    """The environment without the developer's own AFORO_* settings."""
    return {name: value for name, value in environment.items() if not name.startswith("AFORO_")}


def alive(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
