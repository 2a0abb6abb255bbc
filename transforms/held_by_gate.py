"""Customers whose rows break a gate. Put here: whose they are, and their lines as Route will hold them. Keep out: judging.

One customer's bad row must not keep all others from being billed. From Rate on their lines stay in the table, with the gate's words
as their problem and nothing charged, so that they are held by name like anyone who cannot be billed. What is before Rate is no line
yet: there their rows are left out, the lake keeps whose and why (GATE_HOLDS), and Rate makes held lines of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from transforms.frames import AMOUNT, EXACT, RATED_LINES, TABLES, TAXES, TEXT, TIER_CHARGES
from transforms.table import WALLET_PAYMENTS

BEFORE_RATE = (
    "billing_terms", "bonus_balances", "rollovers", "metered_events", "quota_checks", "usage_aggregates", "allowances",
)  # fmt: skip
LEFT_OUT = (*BEFORE_RATE, "wallet_balances", "settlements")
"""Tables whose gate leaves the rows of the customers at fault out. Before Rate, Rate holds them; of wallets, Route does; of
settlements, the invoices do."""
_OF_WALLETS = ("wallet_balances", "bonus_balances")
REMEMBERED = (*LEFT_OUT, "rated_lines")
"""Tables in which rows of those their gate held may be missing: the lake keeps whose."""
_STAGE_BEFORE = {
    "committed_lines": "rated_lines",
    "discounted_lines": "committed_lines",
    "taxed_lines": "discounted_lines",
    "routed_lines": "taxed_lines",
}

_NOTHING = pl.lit(0, dtype=AMOUNT)
_NEUTRAL: Mapping[str, Mapping[str, pl.Expr]] = {
    "rated_lines": {
        "line_type": pl.lit("UNPRICED"),
        "unrounded": pl.lit(0, dtype=EXACT),
        "amount": _NOTHING,
        "tiers": pl.lit(None, dtype=TIER_CHARGES),
    },
    "committed_lines": {"commit_adjustment": _NOTHING},
    "discounted_lines": {"discount": _NOTHING},
    "taxed_lines": {
        "taxable": pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount"),
        "tax": _NOTHING,
        "tax_included": pl.lit(None, dtype=AMOUNT),
        "taxes": pl.lit(None, dtype=TAXES),
    },
    "routed_lines": {
        "destination": pl.lit("HELD"),
        "invoice_id": pl.lit(None, dtype=TEXT),
        "wallet_amount": pl.lit(None, dtype=AMOUNT),
        "wallet_payments": pl.lit(None, dtype=WALLET_PAYMENTS),
    },
}
"""What each table of lines adds, as it is where nothing is charged, taxed or paid."""
_WHO = ["tenant_id", "customer_id"]
NOBODY = pl.DataFrame(schema={**dict.fromkeys(_WHO, TEXT), "reason": TEXT})
_KNOWN_BY = (["line_id"], ["raw_seq"], ["grant_id"], ["invoice_id"], ["tenant_id", "idempotency_key"])
"""What tells whose a row is that does not say so."""


def at_fault(
    table: str,
    rows: pl.LazyFrame,
    broken: Iterable[tuple[str, pl.LazyFrame | None]],
    related: Mapping[str, pl.LazyFrame],
) -> pl.DataFrame | None:
    """`tenant_id, customer_id, reason` of those whose rows break the expectations; None where that does not explain all of it, or
    nobody is left without fault: then the table, not a customer, is wrong.

    broken: what rows must do, and those that do not. related: neighbours that may know whose a row is that the table lacks.
    """
    if table not in _NEUTRAL and table not in LEFT_OUT:
        return None
    found = []
    for says, failing in broken:
        who = None if failing is None else _owners(failing.collect(), [rows, *related.values()])
        if who is None:
            return None
        reason = f"GATE_FAILED: a {'line' if table in _NEUTRAL else 'row'} of {table} does not {says}"
        found.append(who.with_columns(reason=pl.lit(reason)))
    people = pl.concat(found).group_by(_WHO).agg(pl.col("reason").sort().str.join("; ")).sort(_WHO)
    # Few customers have a wallet: that all of them are at fault says nothing about the others.
    left = table in _OF_WALLETS or without(rows.select(_WHO), people).head(1).collect().height
    return people if left else None


def _owners(failing: pl.DataFrame, known: Iterable[pl.LazyFrame]) -> pl.DataFrame | None:
    """Whose the rows are; None where that is not known of every row."""
    if set(_WHO) <= set(failing.columns):
        who = failing.select(_WHO).unique()
        return None if who.select(pl.any_horizontal(pl.all().is_null().any())).item() else who
    left, found = failing.with_row_index("row"), []
    for frame in known:
        columns = set(frame.collect_schema().names())
        for key in _KNOWN_BY:
            if left.is_empty() or not set(key) <= set(failing.columns) or not {*key, *_WHO} <= columns:
                continue
            owners = frame.join(left.select(key).lazy(), on=key, how="semi").select({*key, *_WHO}).unique()
            whose = left.select("row", *key).join(owners.collect(), on=key, how="inner")
            found.append(whose.select(_WHO))
            left = left.join(whose, on="row", how="anti")
    return None if left.height or not found else pl.concat(found).drop_nulls().unique()


def without(rows: pl.LazyFrame, people: pl.DataFrame) -> pl.LazyFrame:
    """The rows of everybody else."""
    if people.is_empty() or not set(_WHO) <= set(rows.collect_schema().names()):
        return rows
    return rows.join(people.lazy(), on=_WHO, how="anti", maintain_order="left")


def held(table: str, rows: pl.LazyFrame, people: pl.DataFrame) -> pl.LazyFrame:
    """The table with all lines of these people (see `at_fault`) as ones that cannot be billed."""
    if people.is_empty():
        return rows
    marked = rows.join(people.lazy().select(*_WHO, "reason"), on=_WHO, how="left", maintain_order="left")
    mine = pl.col("reason").is_not_null()
    said = pl.concat_str("problem", "reason", separator="; ", ignore_nulls=True)
    changed = {
        name: pl.when(mine).then(expr).otherwise(pl.col(name)).alias(name)
        for name, expr in _NEUTRAL[table].items()
    }
    if table == "routed_lines":
        reasons = pl.concat_str("hold_reason", "reason", separator="; ", ignore_nulls=True)
        changed["hold_reason"] = pl.when(mine).then(reasons).otherwise("hold_reason").alias("hold_reason")
    problem = pl.when(mine).then(said).otherwise("problem").alias("problem")
    return marked.with_columns(problem, *changed.values()).select(list(TABLES[table].schema))


def ways(
    table: str, rows: pl.LazyFrame, people: pl.DataFrame, related: Mapping[str, pl.LazyFrame]
) -> Iterator[tuple[pl.LazyFrame, bool]]:
    """What the table may become with these people held, and whether their rows are to be judged in it, the best way first: their
    lines as they are, as the stage before has them, as one line that says why, or left out."""
    if table in LEFT_OUT:
        yield without(rows, people), False
        return
    yield held(table, rows, people), True
    if table == "rated_lines":
        others = without(rows, people).collect()
        yield held_before_rate(others, people, others["month"][0]).lazy(), False
        return
    described = TABLES[table].schema
    before = related[_STAGE_BEFORE[table]].join(people.lazy(), on=_WHO, how="semi")
    added = set(described) - set(before.collect_schema().names())
    own = before.with_columns(pl.lit(None, dtype=described[name]).alias(name) for name in added)
    yield pl.concat([without(rows, people), held(table, own, people)]), True


def held_before_rate(rated_lines: pl.DataFrame, people: pl.DataFrame, month: str) -> pl.DataFrame:
    """RATED_LINES in which these people, whose rows the gates before Rate left out, are held; one of whom nothing is left has a line
    that says so. people: `tenant_id, customer_id, reason`."""
    if people.is_empty():
        return rated_lines
    said = people.group_by(_WHO).agg(pl.col("reason").unique().sort().str.join("; ")).sort(_WHO)
    missing = said.join(rated_lines, on=_WHO, how="anti")
    line = {
        "month": pl.lit(month),
        # With how long the tenant's name is, so that no two people's are the same: a_b and c, a and b_c.
        "line_id": pl.format("held_{}_{}_{}", pl.col("tenant_id").str.len_chars(), *_WHO),
        "line_order": pl.lit(0),
        "line_type": pl.lit("UNPRICED"),
        "description": pl.lit("Held by a gate"),
        "events": pl.lit(0),
        "unrounded": pl.lit(0),
        "amount": pl.lit(0),
    }
    rest = set(RATED_LINES.schema) - set(line) - set(_WHO)
    nothing = {name: pl.lit(None, dtype=RATED_LINES.schema[name]) for name in rest}
    lines = RATED_LINES.conform(missing.with_columns(**line, **nothing))
    return held("rated_lines", pl.concat([rated_lines, lines]).lazy(), said).collect()
