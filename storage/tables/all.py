"""Every table at once: foreign keys are resolved by name, so whoever opens a session must know them all."""

from storage.tables import catalog, customers, invoices, operations, tenants

MODULES = (tenants, catalog, customers, invoices, operations)
