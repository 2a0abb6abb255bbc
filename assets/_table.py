"""How every asset is made. Put here: what assets share (partitions, column metadata, where they are kept). Keep out: rules."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from transforms.frames import TABLES, Table

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2020-01", fmt="%Y-%m", end_offset=1)
"""Billing months. The current month is a partition too: its bill is a preview until the month has closed."""
BILL_RUN = "aforo/bill_run"
"""The tag of a run that was asked for through the API: the id of the request."""


def column_schema(table: Table) -> dg.TableSchema:
    """The table's description as Dagster shows it."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.dtype),
                description=column.doc,
                constraints=dg.TableColumnConstraints(nullable=column.nullable),
            )
            for column in table.columns
        ]
    )


def described(name: str) -> dict[str, Any]:
    """Metadata every asset carries from its table's description."""
    table = TABLES[name]
    return {
        "dagster/column_schema": column_schema(table),
        "dagster/table_name": name,
        "key": ", ".join(table.key),
    }


def billing_asset(
    name: str, *, stage: int | None = None, group: str = "stages"
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """An asset of the billing month: its frame goes to the Delta table of the same name, in place of the run's scope."""
    return dg.asset(
        name=name,
        partitions_def=MONTHS,
        description=TABLES[name].doc,
        group_name=group,
        kinds={"polars", "deltalake"},
        metadata=described(name),
        tags={"aforo/stage": str(stage)} if stage else None,
    )
