"""Usage through the edge over HTTP, as a gateway would send it. Put here: batches, keys, tallying the answers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import httpx

from domain.errors import PermanentFailure
from stack.demo.usage import Sent

BATCH = 400
_PATIENCE_SECONDS = 30.0


class EdgeRefused(PermanentFailure):
    """The edge did not take a batch."""

    code = "EDGE_REFUSED"

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"POST /v1/ingest/batch was answered {status}: {body[:500]}")


@dataclass
class Tally:
    """What the edge answered, added up: received = accepted + duplicates + refused."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def refused(self) -> int:
        return self.codes.total()


def send(
    stream: Iterable[Sent], *, edge_url: str, secrets: Mapping[str, str], progress: Callable[[int], None]
) -> Tally:
    """Send everything in order, in batches; returns when the last batch is on disk. Raises EdgeRefused.

    progress: called with the number of events of each batch.
    """
    tally = Tally()
    started = time.monotonic()
    with httpx.Client(base_url=edge_url, trust_env=False, timeout=30) as client:
        for key, batch in _batches(stream):
            answer = _post(client, secrets[key], [sent.event for sent in batch])
            tally.received += len(batch)
            tally.accepted += answer["accepted"]
            tally.duplicates += answer["duplicates"]
            tally.codes.update(error["code"] for error in answer["errors"])
            progress(len(batch))
    tally.seconds = time.monotonic() - started
    return tally


def _batches(stream: Iterable[Sent]) -> Iterable[tuple[str, list[Sent]]]:
    """Up to BATCH events in a row that share a key; each key keeps the order of its own events."""
    waiting: dict[str, list[Sent]] = {}
    for sent in stream:
        batch = waiting.setdefault(sent.key, [])
        batch.append(sent)
        if len(batch) == BATCH:
            yield sent.key, waiting.pop(sent.key)
    yield from waiting.items()


def _post(client: httpx.Client, secret: str, events: list[dict[str, object]]) -> dict[str, object]:
    """One batch; a 503 is tried again, since the edge promises nothing with it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = client.post(
            "/v1/ingest/batch", json={"events": events}, headers={"Authorization": f"Bearer {secret}"}
        )
        if answer.status_code == 202:
            return answer.json()
        if answer.status_code != 503 or time.monotonic() > deadline:
            raise EdgeRefused(answer.status_code, answer.text)
        time.sleep(1)
