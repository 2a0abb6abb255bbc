"""Tenant-scoped reads and writes of the control plane, a file per noun. Keep out: queries that cross tenants."""
