"""Tenants of the installation, at the management door."""
