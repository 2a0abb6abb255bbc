"""A PostgreSQL of the sandbox's own. Put here: starting it for a command and ending it. Keep out: what is done in it (sandbox).

It is not the stack's: databases made and dropped must not slow down the ones that bills are kept in, and nothing in it need outlive
a power cut. Its data folder stays, so that neither it nor the migrated template is made anew each time.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack import tether
from stack.embedded import EmbeddedServerFailed, Postgres

PATIENCE_SECONDS = 60.0
_SETTINGS = (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))


@contextmanager
def sandbox_server(home: Path) -> Iterator[str]:
    """URL of a running server; ended on leaving. Where another command has the one in `home`, a temporary one stands in.

    Raises EmbeddedServerFailed.
    """
    folder = home / "sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with _temporary() as scratch, _running(scratch) as url:
                yield url
            return
        with _running(folder) as url:
            yield url


@contextmanager
def _temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="aforo-sandbox-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    server = Postgres(folder / "pg", settings=_SETTINGS)
    server.prepare()
    command = server.command()
    log = folder / "postgres.log"
    process = tether.spawn(command, log=log)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise EmbeddedServerFailed(f"The sandbox's PostgreSQL does not come up; see {log}.")
            time.sleep(0.02)
        yield server.url("postgres")
    finally:
        tether.ask_to_stop(process, command.stop_signal)
        tether.finish(process)
