"""Files of usage over a listening edge: what their rows mean, how far a job is, what survives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from api.edge.upload_rows import Events, Unreadable, read_rows
from storage import event_log
from tests import harness
from tests.api.edge.wire import listening
from tests.api.edge.world import CUSTOMER_KEY, TENANT_KEY, event

CSV = """event_id,event_timestamp,tenant_id,customer_id,subscription_id,product_type,metric_id,quantity
e-1,{now},t1,acme,sub_1,API,API Calls,1
e-2,{now},t1,acme,sub_1,API,tokens,2.50
e-3,{now},t1,acme,sub_1,API,nope,1
e-1,{now},t1,acme,sub_1,API,API Calls,1
"""


@pytest.fixture
def port(redis: Redis, redis_url: str, home: Path) -> Iterator[int]:
    with listening(redis_url, home=str(home), max_upload_bytes=1024 * 1024) as listens:
        yield listens


@pytest.fixture
def edge(port: int) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TENANT_KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client:
        yield client


def send(edge: httpx.Client, content: str | bytes, name: str = "usage.csv", **fields: Any) -> httpx.Response:
    return edge.post("/v1/ingest/upload", files={"file": (name, content)}, data=fields)


def ended(edge: httpx.Client, sent: httpx.Response) -> dict[str, Any]:
    assert sent.status_code == 202, sent.text
    job: dict[str, Any] = sent.json()
    assert job["status"] == "QUEUED" and sent.headers["location"].endswith(job["jobId"])

    def has_ended() -> bool:
        nonlocal job
        job = edge.get(sent.headers["location"]).json()
        return job["completedAt"] is not None

    harness.wait_until(has_ended, what="the job to end")
    return job


def counts(job: dict[str, Any]) -> tuple[str, int, int, int]:
    return job["status"], job["accepted"], job["duplicates"], job["failed"]


def now() -> str:
    from tests.api.edge.test_dialects import SECONDS

    return SECONDS + "Z"


def test_a_csv_file_is_partial_where_a_row_is_wrong(edge: httpx.Client, redis: Redis, home: Path) -> None:
    job = ended(edge, send(edge, CSV.format(now=now()), rowCount="4"))
    assert counts(job) == ("PARTIAL", 2, 1, 1)
    assert (job["processedRows"], job["expectedRows"]) == (4, 4)
    assert [(error["row"], error["code"]) for error in job["errors"]] == [(3, "UNKNOWN_METRIC")]
    [entry] = event_log.read(redis, "t1")
    assert entry.source == f"upload:{job['jobId']}"
    first = json.loads(entry.body.split(b"\n")[0])
    assert (first["c"], first["u"], first["k"]) == ("acme", "api_calls", "e-1")
    assert list((home / "uploads").iterdir()) == []


def test_columns_may_be_called_anything_and_fields_may_be_left_out(edge: httpx.Client, redis: Redis) -> None:
    mapping = {"customerId": "Account", "quantity": "Used", "occurredAt": "When"}
    rows = f"Account,Used,When,region\nacme,3,{now()},eu\nacme,3,{now()},eu\n,4,{now()},us\n"
    sent = send(
        edge, rows, columnMapping=json.dumps(mapping), defaultMetricName="tokens", defaultCustomerId="acme"
    )
    assert counts(ended(edge, sent)) == ("COMPLETED", 3, 0, 0)  # equal rows are several events
    [entry] = event_log.read(redis, "t1")
    records = [json.loads(line) for line in entry.body.split(b"\n")]
    assert [(r["c"], r["u"], r["q"]) for r in records] == [("acme", "tokens", q) for q in ("3", "3", "4")]
    assert json.loads(records[2]["j"])["region"] == "us"


def test_a_corrected_file_sent_again_adds_only_what_was_corrected(edge: httpx.Client) -> None:
    head = "customerId,metricName,quantity,occurredAt\n"
    good, bad = f"acme,tokens,1,{now()}\n" * 2, f"acme,tokns,5,{now()}\n"
    assert counts(ended(edge, send(edge, head + good + bad))) == ("PARTIAL", 2, 0, 1)
    corrected = head + good + bad.replace("tokns", "tokens")
    assert counts(ended(edge, send(edge, corrected))) == ("COMPLETED", 1, 2, 0)


@pytest.mark.parametrize("name", ["usage.ndjson", "usage.json", "wrapped.json"])
def test_json_is_read_in_each_form(edge: httpx.Client, name: str) -> None:
    events = [event("a"), event("b", quantity="x"), "text", event("c")]
    contents = {
        "usage.ndjson": "\n".join(map(json.dumps, events)) + "\n\n",
        "usage.json": json.dumps(events),
        "wrapped.json": json.dumps({"events": events}),
    }
    assert counts(ended(edge, send(edge, contents[name], name))) == ("PARTIAL", 2, 0, 2)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"\xff\xfe\x00", "a.csv", ("FAILED", 0, 0, 0)),
        (b"a,a\n1,2\n", "a.csv", ("FAILED", 0, 0, 0)),
        (b'{"no":1}', "a.json", ("FAILED", 0, 0, 0)),
        (b"[1,", "a.json", ("FAILED", 0, 0, 0)),
        (b"[1,2]", "a.json", ("FAILED", 0, 0, 2)),
        (b"", "a.csv", ("COMPLETED", 0, 0, 0)),
        (b"", "a.ndjson", ("COMPLETED", 0, 0, 0)),
    ],
)
def test_what_cannot_be_read_fails_and_says_why(
    edge: httpx.Client, content: bytes, name: str, expected: tuple[str, int, int, int]
) -> None:
    job = ended(edge, send(edge, content, name))
    assert counts(job) == expected
    assert (job["error"] is not None or job["failed"] > 0) == (expected[0] == "FAILED")


def test_rows_before_an_unreadable_one_count(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b'{"a":1}\n' + b"x" * (1024 * 1024 + 2))
    rows = read_rows(file, "ndjson")
    assert next(rows) == {"a": 1}
    with pytest.raises(Unreadable, match="longer"):
        next(rows)


def test_keys_follow_from_the_rows_alone(tmp_path: Path) -> None:
    def keys(*rows: dict[str, Any]) -> list[str]:
        events = Events(tmp_path / "seen", {}, {})
        found = [json.loads(events.text(row))["idempotencyKey"] for row in rows]
        events.close()
        return found

    one, other = {"customerId": "a", "quantity": "1"}, {"customerId": "b", "quantity": "1"}
    assert keys(one, other, one) == [*keys(one, other), keys(one, one)[1]]
    assert len(set(keys(one, other, one))) == 3


def test_a_form_that_makes_no_sense_is_told_what_would(edge: httpx.Client, redis: Redis) -> None:
    assert send(edge, "x" * (1024 * 1024 + 1)).status_code == 413
    assert send(edge, b"x" * (3 * 1024 * 1024)).status_code == 413
    assert send(edge, "a", "usage.xlsx").json()["fieldErrors"].keys() == {"format"}
    assert send(edge, "a", columnMapping="{").status_code == 422
    assert send(edge, "a", columnMapping='{"price":"x"}').status_code == 422
    assert send(edge, "a", rowCount="many").status_code == 422
    assert edge.post("/v1/ingest/upload", json={}).status_code == 415
    assert edge.post("/v1/ingest/upload", files={"other": ("a.csv", b"x")}).status_code == 422
    assert edge.get("/v1/ingest/upload/upl_none").status_code == 404
    assert redis.scard("uploads-pending") == 0


def test_a_job_is_seen_by_its_own_customer_only(edge: httpx.Client) -> None:
    job = ended(edge, send(edge, CSV.format(now=now())))
    own = {"Authorization": f"Bearer {CUSTOMER_KEY}"}
    assert edge.get(f"/v1/ingest/upload/{job['jobId']}", headers=own).status_code == 404


def test_a_job_goes_on_where_an_edge_that_died_had_stopped(
    redis: Redis, redis_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.edge import upload_worker

    headers = {"Authorization": f"Bearer {TENANT_KEY}"}
    rows = "customerId,metricName,quantity\n" + "acme,tokens,1\n" * 1200
    monkeypatch.setattr(upload_worker, "_BREATH", 30.0)  # it is stopped after its first chunk
    with (
        listening(redis_url, home=str(home)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client,
    ):
        sent = send(client, rows)
        where = sent.headers["location"]
        harness.wait_until(lambda: client.get(where).json()["processedRows"] == 500, what="a chunk")
        assert client.get(where).json()["status"] == "PROCESSING"
    monkeypatch.setattr(upload_worker, "_BREATH", 0.0)
    with (
        listening(redis_url, home=str(home)) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False) as client,
    ):
        job = ended(client, sent)
    assert counts(job) == ("COMPLETED", 1200, 0, 0)
    assert sum(entry.verdicts.count("A") for entry in event_log.read(redis, "t1")) == 1200
