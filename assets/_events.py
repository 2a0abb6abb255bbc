"""What the three event assets record of themselves. Put here: metadata of an increment. Keep out: gates and storage."""

from typing import Any

import dagster as dg
import polars as pl

from assets._verdicts import verdict_metadata
from expectations.catalogue import suite_of
from expectations.data_docs import DataDocs
from expectations.gate import Verdict, page_name, run_gate
from storage.lake import Lake

INGESTING = "aforo:ingest"
"""Lock: one run at a time moves events, so that a second one waits instead of losing the race to commit."""

FIRST, LAST = "first_raw_seq", "last_raw_seq"


def increment(lake: Lake, name: str, first: int | None, last: int | None) -> pl.LazyFrame:
    """The table's rows from raw position `first` to `last`; no rows without them."""
    rows = lake.scan(name)
    return rows.filter(pl.col("raw_seq").is_between(first, last)) if first and last else rows.head(0)


def judge_increment(lake: Lake, name: str, first: int | None, last: int | None) -> Verdict:
    """The suite over an increment and the same raw positions of its neighbours."""
    suite = suite_of(name)
    related = {other: increment(lake, other, first, last) for other in suite.related}
    return run_gate(suite, increment(lake, name, first, last), related)


def event_metadata(
    lake: Lake, name: str, first: int | None, last: int | None, *, docs: DataDocs, run: str
) -> dict[str, Any]:
    """Rows and quantities of an increment, the raw positions it covers, its suite's result and where that can be read."""
    sums = (
        increment(lake, name, first, last).select(rows=pl.len(), quantity=pl.col("quantity").sum()).collect()
    )
    rows, quantity = sums.row(0)
    verdict = judge_increment(lake, name, first, last)
    return {
        "dagster/row_count": lake.scan(name).select(pl.len()).collect().item(),
        "rows_added": rows,
        "quantity_added": str(quantity or 0),
        **verdict_metadata(verdict),
        "data_docs": dg.MetadataValue.url(docs.page_of(name, page_name(run, verdict.passed, keep=False))),
        FIRST: dg.MetadataValue.int(first) if first else dg.MetadataValue.null(),
        LAST: dg.MetadataValue.int(last) if last else dg.MetadataValue.null(),
    }
