"""Traces: off by default, as the caller decided, into the lake and the histograms, and to a collector only where one is set."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from redis import Redis

from api.edge.traces import Span as Work
from api.edge.traces import Traces, traces_of, within
from storage import event_log
from storage.drain import to_raw
from tests.api.edge.world import event, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


def begun(share: float, traceparent: str | None) -> str | None:
    headers = [] if traceparent is None else [(b"traceparent", traceparent.encode())]
    trace = Traces(share).begin({"headers": headers})
    return None if trace is None else trace.trace_id


def test_the_caller_decides_and_where_it_does_not_the_lot_does() -> None:
    assert begun(0.0, SAMPLED) == TRACE
    assert begun(1.0, NOT_SAMPLED) is None
    assert begun(0.0, None) is None
    assert len(begun(1.0, None) or "") == 32


@pytest.mark.parametrize(
    "sent",
    [
        "", "00", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f"00-{TRACE}-{SPAN}-1", "x" * 9000,
    ],
)  # fmt: skip
def test_a_broken_traceparent_is_as_if_there_were_none(sent: str) -> None:
    assert begun(0.0, sent) is None
    assert begun(1.0, sent) not in (None, TRACE)


def test_spans_lie_within_the_shortest_that_contains_them() -> None:
    inner, other, outer = Work("redis append", 20, 30), Work("redis ask", 50, 60), Work("log append", 10, 40)
    assert within([inner, outer, other]) == [(inner, 1), (outer, None), (other, None)]


async def test_by_default_nothing_is_traced_and_no_exporter_is_loaded(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url) as edge:
        await edge.post("/v1/ingest", json=event("a"), headers={"traceparent": SAMPLED})
    (entry,) = event_log.read(redis, "t1")
    assert entry.trace_id is None
    assert traces_of(0.0, "http://127.0.0.1:4318") is None
    script = (
        "import sys; from api.edge.app import create_app; from api.edge.settings import EdgeSettings\n"
        "create_app(EdgeSettings.from_env({'AFORO_TRACE_SAMPLE': '1'}))\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.exporter')]\n"
        "from opentelemetry import trace\n"
        "assert type(trace.get_tracer_provider()).__module__.startswith('opentelemetry.trace')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


async def test_the_trace_id_goes_to_the_lake_row_and_into_the_histogram(redis: Redis, redis_url: str) -> None:
    async with serving(redis_url, trace_share=1e-9) as edge:
        sent = {"events": [event("a"), event("b")]}
        await edge.post("/v1/ingest/batch", json=sent, headers={"traceparent": SAMPLED})
        await edge.post("/v1/ingest", json=event("c"))
        asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
        text = (await edge.get("/metrics", headers=asked)).text
    rows = to_raw("t1", event_log.read(redis, "t1"), first=1)
    assert rows["trace_id"].to_list() == [TRACE, TRACE, None]
    exemplars = {
        (family.name, sample.exemplar.labels["trace_id"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar
    }
    assert exemplars == {("aforo_edge_request_seconds", TRACE), ("aforo_edge_round_trip_seconds", TRACE)}


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """What an OTLP collector is: its address, and the spans it got."""
    spans: list[Span] = []

    class Receive(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sent = ExportTraceServiceRequest.FromString(body)
            spans.extend(span for r in sent.resource_spans for s in r.scope_spans for span in s.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Receive)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", spans
    finally:
        server.shutdown()
        server.server_close()


async def test_spans_reach_the_collector_under_the_callers_trace(redis: Redis, redis_url: str) -> None:
    with collector() as (endpoint, spans):
        edge = serving(redis_url, trace_share=1.0, otlp_endpoint=endpoint)
        await edge.post("/v1/meter", json=event("a"), headers={"traceparent": SAMPLED})
        await edge.post("/v1/meter", json=event("b"))
        app = edge._transport.app  # type: ignore[attr-defined]
        async with app.router.lifespan_context(app):
            pass  # its end sends what is left
        await edge.aclose()
    first, second = event_log.read(redis, "t1")
    assert {span.trace_id.hex() for span in spans} == {first.trace_id, second.trace_id}
    mine = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    assert set(mine) == {"POST /v1/meter", "log append", "redis append"}
    whole, log, trip = mine["POST /v1/meter"], mine["log append"], mine["redis append"]
    assert (whole.parent_span_id.hex(), log.parent_span_id, trip.parent_span_id) == (
        SPAN,
        whole.span_id,
        log.span_id,
    )
    assert whole.start_time_unix_nano <= log.start_time_unix_nano <= trip.end_time_unix_nano
    assert "acme" not in str(spans) and "sk_live" not in str(spans)
