"""What the edge is told by its environment. Put here: settings of this door. Keep out: defaults of other processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from domain.limits import DEFAULTS, Limit, read_limit
from domain.token import ISSUER
from storage.event_log import REMEMBER_SECONDS


@dataclass(frozen=True)
class EdgeSettings:
    """redis_url: event log and hot state. remember_seconds: how long the door itself knows an idempotency key.
    fresh_seconds: how stale keys and units may be; a revoked key stops that long after its revocation was published.
    token_issuer: whose tokens are good. workers: processes behind the port. home: where uploads lie, and the key that secrets of
    webhook sources are sealed with. public_url: this door as seen from outside; some providers sign it. limits: requests of each key, by door. gateways: addresses (CIDR) that may ask for quota and
    margin with a tenant's name alone. access_seconds: how long
    access waits for Redis before it answers from what it last knew. access_memory: whether it answers from memory while Redis says of no change. fail_open: what canAccess says of what it never knew while Redis is gone. stale_seconds:
    how long it answers from what it did know. reader_url: the process that reads the lake; empty: there is none. metrics_from: addresses (CIDR) that may read /metrics. trace_share: of requests
    whose caller has not decided, 0: nothing is traced. otlp_endpoint: where spans are sent; empty: nowhere. sign_events: put a
    MAC on each event with the key of `home`. drain_seconds: how long the edge goes on answering after it was told to end. spool: whether requests are kept on
    local disk, below home, while the log cannot take them; spool_bytes: by all workers together."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    host: str = "127.0.0.1"
    port: int = 8787
    workers: int = 1
    remember_seconds: int = REMEMBER_SECONDS
    fresh_seconds: float = 0.5
    token_issuer: str = ISSUER
    max_body_bytes: int = 10 * 1024 * 1024
    max_events: int = 10_000
    max_upload_bytes: int = 50 * 1024 * 1024
    body_seconds: float = 30.0
    home: str = ".aforo"
    public_url: str = ""
    limits: Mapping[str, Limit | None] = field(default_factory=lambda: DEFAULTS)
    gateways: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    access_seconds: float = 0.5
    access_memory: bool = True
    fail_open: bool = False
    stale_seconds: float = 3600.0
    reader_url: str = ""
    metrics_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    trace_share: float = 0.0
    otlp_endpoint: str = ""
    sign_events: bool = False
    drain_seconds: float = 1.0
    spool: bool = False
    spool_bytes: int = 1024**3

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> EdgeSettings:
        """Settings from AFORO_REDIS_URL, AFORO_EDGE_HOST, _PORT, _WORKERS, AFORO_REMEMBER_SECONDS, AFORO_TOKEN_ISSUER, AFORO_HOME,
        AFORO_PUBLIC_URL (where senders of webhooks find the edge),
        AFORO_LIMIT_METER, _INGEST, _ACCESS, _ENTITLEMENTS, _LOOKUP (`10000/1000/HARD`, `off`), AFORO_GATEWAYS (CIDR, comma-separated),
        AFORO_ACCESS_FAIL (open or closed), AFORO_ACCESS_MEMORY (on or off), AFORO_STALE_SECONDS, AFORO_CONTROL_URL (the reader of the lake), AFORO_METRICS_FROM (CIDR),
        AFORO_TRACE_SAMPLE (0 to 1), AFORO_OTLP_ENDPOINT, AFORO_SIGN_EVENTS (on or off),
        AFORO_DRAIN_SECONDS, AFORO_EDGE_SPOOL (on or off), AFORO_EDGE_SPOOL_BYTES.
        Raises NotALimit and ValueError."""
        found = os.environ if env is None else env
        return cls(
            redis_url=found.get("AFORO_REDIS_URL", cls.redis_url),
            host=found.get("AFORO_EDGE_HOST", cls.host),
            port=int(found.get("AFORO_EDGE_PORT", cls.port)),
            workers=int(found.get("AFORO_EDGE_WORKERS", cls.workers)),
            remember_seconds=int(found.get("AFORO_REMEMBER_SECONDS", cls.remember_seconds)),
            token_issuer=found.get("AFORO_TOKEN_ISSUER", cls.token_issuer),
            home=found.get("AFORO_HOME", cls.home),
            public_url=found.get("AFORO_PUBLIC_URL", cls.public_url),
            limits=_limits(found),
            gateways=_addresses(found.get("AFORO_GATEWAYS"), cls.gateways),
            access_memory=_one_of(found, "AFORO_ACCESS_MEMORY", "on", "off", default="on"),
            fail_open=_one_of(found, "AFORO_ACCESS_FAIL", "open", "closed", default="closed"),
            spool=_one_of(found, "AFORO_EDGE_SPOOL", "on", "off", default="off"),
            spool_bytes=int(found.get("AFORO_EDGE_SPOOL_BYTES", cls.spool_bytes)),
            stale_seconds=float(found.get("AFORO_STALE_SECONDS", cls.stale_seconds)),
            metrics_from=_addresses(found.get("AFORO_METRICS_FROM"), cls.metrics_from),
            trace_share=float(found.get("AFORO_TRACE_SAMPLE") or cls.trace_share),
            otlp_endpoint=found.get("AFORO_OTLP_ENDPOINT", cls.otlp_endpoint),
            drain_seconds=float(found.get("AFORO_DRAIN_SECONDS", cls.drain_seconds)),
            sign_events=_one_of(found, "AFORO_SIGN_EVENTS", "on", "off", default="on"),
            reader_url=found.get("AFORO_CONTROL_URL", cls.reader_url),
        )


def _limits(found: Mapping[str, str]) -> dict[str, Limit | None]:
    sent = {door: found.get(f"AFORO_LIMIT_{door.upper()}") for door in DEFAULTS}
    return {door: read_limit(text) if text else DEFAULTS[door] for door, text in sent.items()}


def _addresses(sent: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    if sent is None:
        return default
    return tuple(str(ip_network(each.strip(), strict=False)) for each in sent.split(",") if each.strip())


def _one_of(found: Mapping[str, str], name: str, yes: str, no: str, *, default: str) -> bool:
    sent = found.get(name, default)
    if sent not in (yes, no):
        raise ValueError(f"{name}: {sent!r} is neither {yes} nor {no}")
    return sent == yes
