"""Teams of customers, at the management door."""
