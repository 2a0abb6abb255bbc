"""One real hour of two LLM services, from the files to the invoices, through the command line as a person would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
MONTH = "2023-11"
METRICS = ["tokens_in=ContextTokens", "tokens_out=GeneratedTokens", "requests=1"]
FILES = {"code": DATA / "llm_inference_trace_code.csv", "conv": DATA / "llm_inference_trace_conv.csv"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the traces are not part of this repository"),
]


class Aforo:
    """The `aforo` command over given servers and a folder of its own."""

    def __init__(self, home: Path, database_url: str, redis_url: str) -> None:
        self.environment = {
            **os.environ,
            "AFORO_HOME": str(home),
            "AFORO_DATABASE_URL": database_url,
            "AFORO_REDIS_URL": redis_url,
        }

    def __call__(self, *words: str, exits: int = 0):
        command = [sys.executable, "-m", "stack", *words, "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == exits, (
            f"aforo {' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return json.loads(done.stdout)

    def ingest(self, customer: str):
        metrics = [word for metric in METRICS for word in ("--metric", metric)]
        options = ["--customer", customer, "--time-column", "TIMESTAMP", "--backfill", "history of 2023"]
        return self("ingest", str(FILES[customer]), "--tenant", "acme-ai", *options, *metrics)


def invoices(report) -> dict[str, dict[str, str]]:
    return {each["customer_id"]: each for each in report["invoices"]}


def test_the_traces_become_the_invoices_worked_out_by_hand(home: Path, database_url: str, redis_url: str):
    aforo = Aforo(home, database_url, redis_url)
    aforo("apply", str(ROOT / "examples" / "llm-inference.yaml"))
    first = [aforo.ingest(customer) for customer in FILES]
    assert sum(each["accepted"] for each in first) == 84_555
    assert sum(each["refused"] for each in first) == 0

    report = aforo("bill", MONTH)
    assert report["rows"]["metered_events"] == 84_555
    assert report["held"] == []
    billed = invoices(report)
    assert {who: float(each["total"]) for who, each in billed.items()} == {"code": 94.11, "conv": 145.36}
    amounts = {who: sorted(float(line["amount"]) for line in lines_of(aforo, who)) for who in FILES}
    assert amounts == {"code": [1.53, 2.46, 41.12, 49.00], "conv": [5.75, 40.89, 49.00, 49.72]}

    again = [aforo.ingest(customer) for customer in FILES]
    assert sum(each["duplicates"] for each in again) == 84_555
    assert sum(each["accepted"] for each in again) == 0
    rerun = aforo("bill", MONTH)
    assert invoices(rerun) == billed
    assert aforo("bill", MONTH, "--unbilled")["invoices"] == []
    quarantined = aforo("sql", "SELECT code, COUNT(*) AS n FROM quarantined_events GROUP BY code")
    assert quarantined == [{"code": "DUPLICATE", "n": 84_555}]


def test_who_sent_late_is_billed_again_and_nobody_else(home: Path, database_url: str, redis_url: str):
    aforo = Aforo(home, database_url, redis_url)
    aforo("apply", str(ROOT / "examples" / "llm-inference.yaml"))
    aforo.ingest("code")
    assert aforo("bill", MONTH, "--unbilled", exits=2)["error"]["code"] == "NOTHING_BILLED"
    before = invoices(aforo("bill", MONTH))
    aforo.ingest("conv")
    late = invoices(aforo("bill", MONTH, "--unbilled"))
    assert {who: float(each["total"]) for who, each in late.items()} == {"conv": 145.36}
    assert late["conv"]["number"] == before["conv"]["number"]


def lines_of(aforo: Aforo, customer: str):
    query = (
        f"SELECT line_id, amount FROM invoice_lines WHERE month = '{MONTH}' AND customer_id = '{customer}'"
    )
    return aforo("sql", query)
