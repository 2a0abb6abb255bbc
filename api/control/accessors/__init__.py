"""Apps and agents of customers, at the management door."""
