"""Traces to an OTLP collector. Put here: turning a finished trace into spans of the OpenTelemetry SDK. Keep out: what is traced
(traces.py). Imported only where an endpoint is set."""

from __future__ import annotations

import os

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode

from api.edge.traces import Trace, within

_FAULT = 500


class _Ids(RandomIdGenerator):
    """A trace without a parent gets the id it has in the lake."""

    def __init__(self) -> None:
        self.next = 0

    def generate_trace_id(self) -> int:
        return self.next or super().generate_trace_id()


class Otlp:
    """Sends in the background, in batches; what does not fit into its queue is dropped, and no request waits. endpoint: the
    collector's base (`http://127.0.0.1:4318`), or the whole URL ending in /v1/traces."""

    def __init__(self, endpoint: str) -> None:
        url = endpoint.rstrip("/")
        if not url.endswith("/v1/traces"):
            url += "/v1/traces"
        self._ids = _Ids()
        resource = Resource({"service.name": "aforo-edge", "process.pid": os.getpid()})
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, timeout=5)))
        self._tracer = self._provider.get_tracer("aforo")

    def send(self, trace: Trace, ended: int, route: str, method: str, status: int) -> None:
        """Queue a finished request with its spans."""
        self._ids.next = int(trace.trace_id, 16)
        whole = self._tracer.start_span(
            f"{method} {route}",
            context=_parent(trace),
            kind=SpanKind.SERVER,
            attributes={"http.route": route, "http.request.method": method, "http.response.status_code": status},
            start_time=trace.began,
        )  # fmt: skip
        if status >= _FAULT:
            whole.set_status(Status(StatusCode.ERROR))
        made: dict[int, api.Span] = {}
        for place, (span, around) in reversed(list(enumerate(within(trace.spans)))):
            inside = api.set_span_in_context(whole if around is None else made[around], Context())
            kind = SpanKind.CLIENT if span.name.startswith("redis") else SpanKind.INTERNAL
            made[place] = self._tracer.start_span(span.name, context=inside, kind=kind, start_time=span.began)
            made[place].end(span.ended)
        whole.end(ended)

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        self._provider.shutdown()


def _parent(trace: Trace) -> Context:
    if trace.parent_id is None:
        return Context()
    caller = api.SpanContext(
        int(trace.trace_id, 16), int(trace.parent_id, 16), is_remote=True, trace_flags=api.TraceFlags(1)
    )
    return api.set_span_in_context(api.NonRecordingSpan(caller), Context())
