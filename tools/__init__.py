"""Helpers for people who work on this repository. Keep out: anything the product needs to run."""
