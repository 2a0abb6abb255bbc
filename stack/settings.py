"""Where things are: settings of the person who starts the stack, and addresses of the parts once it runs.
Keep out: settings of one door (they read their own environment)."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import PermanentFailure
from stack import state
from stack.embedded import write_private


class StackNotRunning(PermanentFailure):
    """A command needs the stack, and it is not up."""

    code = "STACK_NOT_RUNNING"

    def __init__(self, home: Path) -> None:
        super().__init__(
            f"Nothing is running over {home}: start it with `aforo up`, or set AFORO_HOME to its data folder."
        )


class Settings(BaseSettings):
    """What the environment says (AFORO_HOME, AFORO_DATABASE_URL, AFORO_REDIS_URL, AFORO_LAKE_URL, AFORO_*_PORT, AFORO_VALKEY_BYTES).

    A database or Redis URL given here means: use that server and start no embedded one.
    """

    model_config = SettingsConfigDict(env_prefix="AFORO_", extra="ignore", env_ignore_empty=True)

    home: Path = Path(".aforo")
    database_url: str | None = None
    redis_url: str | None = None
    lake_url: str | None = None
    edge_port: int = 8787
    control_port: int = 8788
    dagster_port: int = 3000
    valkey_bytes: int | None = None

    @property
    def folder(self) -> Path:
        """The data folder as an absolute path."""
        return self.home.expanduser().resolve()

    def secret(self, name: str) -> str:
        """A secret of this installation, made on first use; readable by its owner only."""
        path = self.folder / "secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True)
class Addresses:
    """Where the running parts are. URLs; the three last ones are None until somebody started them."""

    home: str
    database_url: str
    redis_url: str
    lake_url: str
    edge_url: str | None = None
    control_url: str | None = None
    dagster_url: str | None = None

    def environment(self) -> dict[str, str]:
        """The same as environment variables: what every process of the stack is started with."""
        pairs = {f"AFORO_{part.name.upper()}": getattr(self, part.name) for part in fields(self)}
        return {
            **{name: value for name, value in pairs.items() if value is not None},
            **_ports(self),
            **dagster_environment(Path(self.home), self.database_url),
            **memory_environment(),
        }


def dagster_environment(home: Path, database_url: str) -> dict[str, str]:
    """Where Dagster finds its settings and its tables: the schema `dagster` of our database.

    Its own schema because both have an `alembic_version`; psycopg2 by name because Dagster does not run on psycopg 3. Its
    records of runs need not survive a power cut to the last millisecond (our own tables do), so it waits for no disk.
    """
    scheme, rest = database_url.split("://", 1)
    assert scheme == "postgresql", f"AFORO_DATABASE_URL must start with postgresql://, not {scheme}://"
    joint = "&" if "?" in rest else "?"
    return {
        "DAGSTER_HOME": str(home / "dagster"),
        "AFORO_DAGSTER_DATABASE_URL": f"postgresql+psycopg2://{rest}{joint}options=-csearch_path%3Ddagster%20-csynchronous_commit%3Doff",
    }


def memory_environment() -> dict[str, str]:
    """How long Polars' allocator keeps freed memory for the next use, large pieces too: ten seconds instead of half of one.
    Otherwise up to 40 % of a gate's processor time is the kernel clearing pages that were given back too soon."""
    return {"_RJEM_MALLOC_CONF": f"oversize_threshold:0,narenas:{os.cpu_count() or 4},dirty_decay_ms:10000"}


def connected() -> Addresses:
    """Addresses of the stack of AFORO_HOME; where it does not run, what the environment gives in full.

    Raises StackNotRunning when neither tells where the database and Redis are.
    """
    settings = Settings()
    running = state.running(settings.folder)
    if running is not None:
        return Addresses(**running.addresses)
    if settings.database_url is None or settings.redis_url is None:
        raise StackNotRunning(settings.folder)
    lake_url = settings.lake_url or str(settings.folder / "lake")
    return Addresses(str(settings.folder), settings.database_url, settings.redis_url, lake_url)


def use_running_stack() -> Addresses:
    """`connected()`, and this process' environment set accordingly: for commands that call other parts in process."""
    addresses = connected()
    os.environ.update(addresses.environment())
    return addresses


def _ports(addresses: Addresses) -> dict[str, str]:
    urls = {"EDGE": addresses.edge_url, "CONTROL": addresses.control_url, "DAGSTER": addresses.dagster_url}
    return {f"AFORO_{name}_PORT": url.rsplit(":", 1)[1] for name, url in urls.items() if url is not None}
