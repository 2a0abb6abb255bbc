"""An edge that is told to end: nothing that was accepted is lost, no request under way is cut off, nobody is told it were ready."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from storage import event_log
from storage.checking import Checking
from storage.event_macs import event_keys
from tests.api.edge.process import Running, running
from tests.api.edge.wire import Answer, Line, raw
from tests.api.edge.world import TENANT_KEY, event

THREADS = 8


class Sender(threading.Thread):
    """Meters over one connection for as long as the edge lets it."""

    def __init__(self, port: int, name: str) -> None:
        super().__init__(daemon=True)
        self.line = Line(port)
        self.prefix = name
        self.accepted: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for number in range(1_000_000):
                key = f"{self.prefix}-{number}"
                answer = self.line.send(raw("POST", "/v1/meter", event(key)))
                assert answer.status == 202, answer
                self.accepted.append(key)
                if answer.headers.get("connection") == "close":
                    return
        except BaseException as error:
            self.failure = error


def half(port: int, key: str) -> tuple[Line, bytes]:
    """A request of which the first half is sent, and the rest."""
    request = raw("POST", "/v1/meter", event(key))
    line = Line(port)
    line.socket.sendall(request[:-20])
    return line, request[-20:]


def probe(edge: Running, path: str) -> Answer:
    with Line(edge.port) as line:
        return line.send(raw("GET", path, key=None))


def in_log(redis: Redis) -> set[str]:
    entries = event_log.read(redis, "t1", count=100_000)
    return {json.loads(line)["k"] for entry in entries for line in entry.body.split(b"\n")}


def test_no_accepted_event_is_lost_and_no_request_is_cut_off(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with running(redis_url, tmp_path, AFORO_DRAIN_SECONDS="2", AFORO_LOG_FORMAT="json") as edge:
        senders = [Sender(edge.port, f"s{number}") for number in range(THREADS)]
        for sender in senders:
            sender.start()
        slow, rest = half(edge.port, "slow")
        idle = Line(edge.port)
        time.sleep(0.3)
        edge.process.terminate()
        time.sleep(0.2)
        told = probe(edge, "/readyz")
        assert (told.status, told.json["code"], told.headers["connection"]) == (503, "DRAINING", "close")
        for sender in senders:
            sender.join(10)
        assert [sender.failure for sender in senders] == [None] * THREADS
        assert idle.file.read() == b"", "a connection without a request is closed, not cut"
        assert slow.send(rest).status == 202, "begun before the end, answered after the port was closed"
        assert edge.process.wait(10) is not None
        accepted = {key for sender in senders for key in sender.accepted} | {"slow"}
        assert len(accepted) > THREADS
        assert in_log(redis) == accepted
        assert edge.lines == []
    assert_signed(redis, tmp_path)


def assert_signed(redis: Redis, home: Path) -> None:
    """What a real edge writes can be proved, by default."""
    entries = event_log.read(redis, "t1", count=100_000)
    assert Checking(event_keys(home), takes_unsigned=False).checked("t1", entries) == entries


@pytest.mark.slow
def test_a_live_stream_is_told_of_the_end_and_holds_nobody_up(
    redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    with running(redis_url, tmp_path, AFORO_DRAIN_SECONDS="0.2", AFORO_EDGE_WORKERS="2") as edge:
        line = Line(edge.port)
        line.socket.sendall(raw("GET", "/v1/stream", key=TENANT_KEY))
        said = _until(line, b"event: ready")
        edge.process.terminate()
        began = time.monotonic()
        said += line.file.read()
        assert b"event: closing" in said
        edge.process.wait(10)
        assert time.monotonic() - began < 8


def _until(line: Line, wanted: bytes) -> bytes:
    said: Any = b""
    while wanted not in said:
        got = line.file.readline()
        assert got, said
        said += got
    return bytes(said)
