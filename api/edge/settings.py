"""What the edge is told by its environment. Put here: settings of this door. Keep out: defaults of other processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from domain.token import ISSUER
from storage.event_log import REMEMBER_SECONDS


@dataclass(frozen=True)
class EdgeSettings:
    """redis_url: event log and hot state. remember_seconds: how long the door itself knows an idempotency key.
    fresh_seconds: how stale keys and units may be; a revoked key stops that long after its revocation was published.
    token_issuer: whose tokens are good. workers: processes behind the port."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int = 8787
    workers: int = 1
    remember_seconds: int = REMEMBER_SECONDS
    fresh_seconds: float = 0.5
    token_issuer: str = ISSUER
    max_body_bytes: int = 10 * 1024 * 1024
    max_events: int = 10_000

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> EdgeSettings:
        """Settings from AFORO_REDIS_URL, AFORO_EDGE_HOST, _PORT, _WORKERS, AFORO_REMEMBER_SECONDS, AFORO_TOKEN_ISSUER."""
        found = os.environ if env is None else env
        return cls(
            redis_url=found.get("AFORO_REDIS_URL", cls.redis_url),
            host=found.get("AFORO_EDGE_HOST", cls.host),
            port=int(found.get("AFORO_EDGE_PORT", cls.port)),
            workers=int(found.get("AFORO_EDGE_WORKERS", cls.workers)),
            remember_seconds=int(found.get("AFORO_REMEMBER_SECONDS", cls.remember_seconds)),
            token_issuer=found.get("AFORO_TOKEN_ISSUER", cls.token_issuer),
        )
