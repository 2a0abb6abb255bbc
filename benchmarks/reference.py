"""The reference: a DuckDB script over the same Parquet, as a competent engineer would write it by hand for this one task.

It does the same work: four gates (schema, known unit, time, duplicates), join of customer, subscription and plan, the kept
events written as Parquet, usage per customer and unit, charges, invoice totals. What it does not do is what the product is
about: running totals, marginal revenue, gates on every table, invoices that keep their numbers, reruns.

`python -m benchmarks.reference FOLDER CUSTOMERS FILE…` prints its figures as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.data import BASE_FEE, PRICES, UNITS
from benchmarks.machine import peak_mib

THREADS = 2

KEPT = """
COPY (
    WITH passed AS MATERIALIZED (
        SELECT e.*, u.plan_line, e.received_at - e.occurred_at > INTERVAL 24 HOURS AS late
        FROM raw e JOIN units u ON u.unit = e.unit
        WHERE e.door <> 'REJECTED'
          AND e.customer_id IS NOT NULL AND e.quantity IS NOT NULL AND e.occurred_at IS NOT NULL
          AND e.idempotency_key IS NOT NULL AND (e.quantity >= 0 OR e.correction)
          AND e.occurred_at <= e.received_at + INTERVAL 5 MINUTES
          AND e.occurred_at >= e.received_at - INTERVAL 90 DAYS
    ),
    firsts AS (SELECT min(raw_seq) AS raw_seq FROM passed GROUP BY tenant_id, idempotency_key)
    SELECT p.*, s.subscription_id, s.plan, s.plan_version
    FROM passed p JOIN firsts USING (raw_seq)
    JOIN subscriptions s ON s.customer_id = p.customer_id
         AND p.occurred_at >= s.starts_at AND p.occurred_at < s.ends_at
) TO '{kept}' (FORMAT parquet)
"""

USAGE = """
CREATE TABLE usage AS
SELECT customer_id, unit, count(*) AS events,
    CASE unit
        WHEN 'storage_gb' THEN max(quantity)
        WHEN 'users' THEN count(DISTINCT CASE WHEN unit = 'users' THEN json_extract_string(payload, '$.user_id') END)
        WHEN 'requests' THEN count(*)
        WHEN 'support' THEN count(*)
        WHEN 'calls' THEN count(*) FILTER (unit <> 'calls' OR CAST(json_extract_string(payload, '$.status') AS INT) < 500)
        ELSE sum(quantity)
    END::DECIMAL(18, 4) AS used,
    CASE WHEN unit = 'payments' THEN sum(quantity * 0.014 + 0.25) END AS event_charges
FROM read_parquet('{kept}') GROUP BY customer_id, unit
"""

LINES = """
CREATE TABLE lines AS
SELECT s.customer_id, u.unit, round_even(
    CASE u.unit
        WHEN 'tokens_in' THEN least(used, 20000) * 0.000003
            + greatest(least(used, 100000) - 20000, 0) * 0.0000025 + greatest(used - 100000, 0) * 0.000002
        WHEN 'tokens_out' THEN used * 0.00001
        WHEN 'requests' THEN greatest(used - 50, 0) * 0.0004
        WHEN 'storage_gb' THEN CASE WHEN used = 0 THEN 0 WHEN used <= 4000 THEN used * 0.02 ELSE used * 0.01 + 5 END
        WHEN 'users' THEN used * 0.5
        WHEN 'payments' THEN event_charges
        WHEN 'support' THEN 80
        WHEN 'calls' THEN ceil(greatest(used - 10, 0) / 25)::DECIMAL(18, 0) * 0.05
    END, 2) AS amount
FROM subscriptions s CROSS JOIN units u LEFT JOIN usage USING (customer_id, unit)
"""


def run(folder: Path, customers: int, files: list[str]) -> dict[str, Any]:
    """Times in seconds, peak memory in MiB, and the result to compare with."""
    kept = folder / "reference-kept.parquet"
    started = time.perf_counter()
    db = duckdb.connect(config={"threads": THREADS})
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET preserve_insertion_order = false")
    db.execute("CREATE VIEW raw AS SELECT * FROM read_parquet(?)".replace("?", repr(files)))
    _contracts(db, customers)
    times = {"contracts": time.perf_counter() - started}
    for name, query in (("gates, join, write", KEPT), ("aggregate", USAGE), ("rate", LINES)):
        step = time.perf_counter()
        db.execute(query.format(kept=kept))
        times[name] = time.perf_counter() - step
    amounts = f"SELECT sum(coalesce(amount, 0))::DECIMAL(18, 2) + {customers} * {BASE_FEE} FROM lines"
    total = db.execute(amounts).fetchall()[0][0]
    took = time.perf_counter() - started
    rows = db.execute(f"SELECT count(*) FROM read_parquet('{kept}')").fetchall()[0][0]
    peak = peak_mib()
    return {"seconds": took, "steps": times, "kept": rows, "total": str(total), "peak_mib": peak}


def _contracts(db: duckdb.DuckDBPyConnection, customers: int) -> None:
    assert [price["unit"] for price in PRICES] == [unit["key"] for unit in UNITS]
    db.execute("CREATE TABLE units (unit VARCHAR, plan_line INTEGER)")
    db.executemany("INSERT INTO units VALUES (?, ?)", [[unit["key"], n] for n, unit in enumerate(UNITS)])
    db.execute(
        """CREATE TABLE subscriptions AS SELECT format('c{:05d}', n) AS customer_id, format('s-c{:05d}', n) AS subscription_id,
        'all' AS plan, 1 AS plan_version, TIMESTAMPTZ '2026-03-01 00:00:00+00' AS starts_at,
        TIMESTAMPTZ '2026-04-01 00:00:00+00' AS ends_at FROM range(?) t(n)""",
        [customers],
    )


if __name__ == "__main__":
    result = run(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
    sys.stdout.write(json.dumps(result) + "\n")
