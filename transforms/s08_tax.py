"""Stage 8, Tax: what is taxable, and the tax on it. Put here: which lines are taxed together. Keep out: the arithmetic
(domain.tax), asking a tax engine (the answers are frozen into the terms)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from domain.tax import LineTax, TaxAnswer, line_taxes
from transforms.frames import AMOUNT, TAXED_LINES, TAXES, TEXT
from transforms.interim_lines import IS_INTERIM, charged_taxes
from transforms.terms import LINE_KEY, LINE_ORDER

_INVOICE = ["month", "tenant_id", "customer_id", "currency"]
_SCHEMA: dict[str, Any] = {
    "month": TEXT, "line_id": TEXT, "tax": AMOUNT, "tax_included": AMOUNT, "taxes": TAXES, "problem_of_tax": TEXT,
}  # fmt: skip


def tax(*, discounted_lines: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """TAXED_LINES: taxable = amount + commit adjustment − discount − tax that the price contains.

    Each rate's tax is rounded once over all lines of the invoice it is levied on, and shared out among them exactly. Where
    the terms hold no answer nothing is taxed; an answer with a problem gives it to the lines, and so holds the customer.
    A line without terms of its own (nothing of this month) is taxed as the first line of its invoice. Interim invoices give
    back the very taxes they charged, so that all invoices of a period together are taxed as one would be.
    """
    answered = terms.select(*LINE_KEY, "exponent", "rounding", answer=pl.when(~IS_INTERIM).then("tax"))
    lines = discounted_lines.join(answered, on=LINE_KEY, how="left", maintain_order="left")
    charged = pl.col("amount") + pl.col("commit_adjustment") - pl.col("discount")
    taxed = (
        lines.with_columns(charged=charged)
        .join(lines.filter(pl.col("answer").is_not_null()).select(_INVOICE).unique(), on=_INVOICE, how="semi")
        .join(terms.filter(IS_INTERIM), on=LINE_KEY, how="anti")
    )
    found = pl.DataFrame([*_taxes(taxed), *charged_taxes(terms)], schema=_SCHEMA)
    return TAXED_LINES.conform(
        lines.join(found, on=LINE_KEY, how="left", maintain_order="left").with_columns(
            pl.col("tax").fill_null(0),
            pl.coalesce("problem", "problem_of_tax").alias("problem"),
            taxable=charged - pl.col("tax_included").fill_null(0),
        )
    )


def _taxes(lines: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The taxes of each line that has an answer, or why they are not known."""
    known: dict[str, TaxAnswer] = {}
    for group in lines.sort(LINE_ORDER).partition_by(_INVOICE, maintain_order=True):
        rows = group.to_dicts()
        first = next(row for row in rows if row["answer"] is not None)
        answers = []
        for row in rows:
            text = row["answer"] or first["answer"]
            if text not in known:
                known[text] = TaxAnswer.from_text(text)
            answers.append(known[text])
        taxes = line_taxes(
            [row["charged"] for row in rows], answers, exponent=first["exponent"], rounding=first["rounding"]
        )
        for row, answer, of_line in zip(rows, answers, taxes, strict=True):
            yield _of_line(row, answer, of_line)


def _of_line(row: dict[str, Any], answer: TaxAnswer, taxes: list[LineTax]) -> dict[str, Any]:
    return {
        "month": row["month"],
        "line_id": row["line_id"],
        "tax": sum(each.tax for each in taxes),
        "tax_included": sum(each.tax for each in taxes if each.rate and each.rate.inclusive),
        "taxes": [_struct(each) for each in taxes],
        "problem_of_tax": answer.problem,
    }


def _struct(tax: LineTax) -> dict[str, Any]:
    rate = tax.rate
    return {
        "rate_id": rate and rate.id,
        "name": rate.name if rate else tax.treatment,
        "jurisdiction": tax.jurisdiction,
        "category": tax.category,
        "treatment": tax.treatment,
        "tax_id": tax.tax_id,
        "rate": rate and rate.rate,
        "inclusive": bool(rate and rate.inclusive),
        "taxable": tax.taxable,
        "tax": tax.tax,
    }
