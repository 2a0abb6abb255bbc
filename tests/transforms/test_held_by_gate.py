"""Lines of customers whom a gate before Rate left out."""

import polars as pl

from transforms.frames import RATED_LINES
from transforms.held_by_gate import held_before_rate


def test_customers_whose_names_run_together_have_lines_of_their_own() -> None:
    people = pl.DataFrame(
        {"tenant_id": ["a", "a_b"], "customer_id": ["b_c", "c"], "reason": ["one", "another"]},
    )
    lines = held_before_rate(RATED_LINES.empty(), people, "2026-03")
    assert lines.height == 2
    assert lines["line_id"].n_unique() == 2
    assert dict(lines.select("tenant_id", "problem").iter_rows()) == {"a": "one", "a_b": "another"}
    assert lines["amount"].sum() == 0
