"""billing_terms: the terms of a month, frozen from the pinned plan versions."""

import dagster as dg
import polars as pl
from sqlalchemy import Engine

from assets._table import billing_asset
from storage.database import session_scope
from storage.repositories.terms import frozen_terms
from storage.scope import Scope
from transforms.frames import BILLING_TERMS


@billing_asset("billing_terms", group="metering")
def billing_terms(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Engine], scope: dg.ResourceParam[Scope]
) -> pl.DataFrame:
    with session_scope(database) as session:
        terms = frozen_terms(
            session, month=context.partition_key, tenants=scope.tenant_list, customers=scope.customer_list
        )
    return BILLING_TERMS.of_rows(terms)
