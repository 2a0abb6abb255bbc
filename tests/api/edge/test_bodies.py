"""Bodies that are compressed, too large, too slow, or not what they say."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from redis import Redis

from api.edge.bodies import inflate
from api.problems import Problem
from storage import event_log
from tests.api.edge.wire import Line, listening, raw
from tests.api.edge.world import event

MIB = 1024 * 1024
LARGE = b'{"events":[' + b" " * (10 * MIB) + b"]}"


@pytest.fixture
def port(redis: Redis, redis_url: str) -> Iterator[int]:
    with listening(redis_url, body_seconds=1.0) as listens:
        yield listens


def test_a_gzip_body_is_the_same_as_a_plain_one(port: int, redis: Redis) -> None:
    plain = json.dumps({"events": [event(str(n)) for n in range(3)]}).encode()
    packed = gzip.compress(plain[:40]) + gzip.compress(plain[40:])  # a file of two members is one body
    with Line(port) as line:
        answer = line.send(raw("POST", "/v1/ingest/batch", packed, Content_Encoding="gzip"))
    assert (answer.status, answer.json["accepted"]) == (202, 3)


@pytest.mark.parametrize("path", ["/v1/ingest", "/v1/ingest/batch", "/v1/meter"])
def test_a_body_that_unpacks_to_a_gigabyte_is_refused_before_it_does(
    port: int, redis: Redis, path: str
) -> None:
    bomb = gzip.compress(b"[" * MIB) * 1024
    with Line(port) as line:
        answer = line.send(raw("POST", path, bomb, Content_Encoding="gzip"))
        assert answer.status == 413
        assert line.send(raw("POST", "/v1/meter", event())).status == 202
    assert event_log.pending(redis, "t1") == 1


def test_unpacking_holds_no_more_than_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * MIB))
    tracemalloc.start()
    with pytest.raises(Problem) as refused:
        inflate(bomb, MIB)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.status == 413 and peak < 4 * MIB


def test_half_a_gzip_body_is_a_400(port: int) -> None:
    with Line(port) as line:
        answer = line.send(raw("POST", "/v1/ingest", gzip.compress(b"{}")[:-5], Content_Encoding="gzip"))
    assert answer.status == 400


def test_after_a_413_the_connection_goes_on(port: int, redis: Redis) -> None:
    chunked = raw("POST", "/v1/ingest/batch", b"", Transfer_Encoding="chunked").replace(
        b"Content-Length: 0\r\n", b""
    )
    chunks = (
        b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (LARGE[: 6 * MIB], LARGE[6 * MIB :])) + b"0\r\n\r\n"
    )
    with Line(port) as line:
        for sent in (raw("POST", "/v1/ingest/batch", LARGE), chunked + chunks):
            assert line.send(sent).status == 413
            assert line.send(raw("POST", "/v1/meter", event())).status == 202


def test_who_asks_first_need_not_send(port: int) -> None:
    head, _, _ = raw("POST", "/v1/ingest/batch", LARGE, Expect="100-continue").partition(b"\r\n\r\n")
    with Line(port) as line:
        assert line.send(head + b"\r\n\r\n").status == 413


def test_a_body_that_does_not_come_is_a_408_and_holds_nobody_up(port: int, redis: Redis) -> None:
    with Line(port) as slow, Line(port) as other:
        slow.socket.sendall(raw("POST", "/v1/ingest", event())[:-5])
        began = time.monotonic()
        assert other.send(raw("POST", "/v1/ingest", event())).status == 202
        assert time.monotonic() - began < 0.8
        assert slow.read().status == 408
