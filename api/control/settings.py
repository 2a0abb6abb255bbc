"""What the management door is told by its environment. Put here: settings of this door. Keep out: other processes' defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from api.monitoring import addresses


@dataclass(frozen=True)
class ControlSettings:
    """home: the data folder (operator token, data docs). redis_url: None leaves Redis out of the health answer.

    requests_per_minute: with one operator key. metrics_from: addresses (CIDR) that may read /metrics."""

    database_url: str
    home: Path
    redis_url: str | None = None
    lake_url: str | None = None
    host: str = "127.0.0.1"
    port: int = 8788
    requests_per_minute: int = 6000
    metrics_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> ControlSettings:
        """Settings from AFORO_DATABASE_URL (required), AFORO_HOME, AFORO_REDIS_URL, AFORO_LAKE_URL, AFORO_CONTROL_HOST,
        AFORO_CONTROL_PORT, AFORO_CONTROL_RATE, AFORO_METRICS_FROM."""
        found = os.environ if env is None else env
        return cls(
            database_url=found["AFORO_DATABASE_URL"],
            home=Path(found.get("AFORO_HOME", ".aforo")).resolve(),
            redis_url=found.get("AFORO_REDIS_URL"),
            lake_url=found.get("AFORO_LAKE_URL"),
            host=found.get("AFORO_CONTROL_HOST", cls.host),
            port=int(found.get("AFORO_CONTROL_PORT", cls.port)),
            requests_per_minute=int(found.get("AFORO_CONTROL_RATE", cls.requests_per_minute)),
            metrics_from=addresses(found["AFORO_METRICS_FROM"])
            if "AFORO_METRICS_FROM" in found
            else cls.metrics_from,
        )
