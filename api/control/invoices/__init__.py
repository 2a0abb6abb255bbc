"""Invoices at the management door: list, show, finalize, pay, void. Keep out: their rules (storage)."""
