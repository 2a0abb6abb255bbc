"""Every table at once: foreign keys are resolved by name, so whoever opens a session must know them all."""

from storage.tables import (
    catalog,
    corrections,
    customers,
    doors,
    invoices,
    keys,
    limits,
    money,
    operations,
    pricing,
    receivables,
    taxes,
    tenants,
)

MODULES = (
    tenants, doors, catalog, pricing, customers, keys, invoices, receivables, money, operations, corrections, taxes, limits,
)  # fmt: skip
