"""Customers, at the management door."""
