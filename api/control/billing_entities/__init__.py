"""Billing entities, at the management door."""
