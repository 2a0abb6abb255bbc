"""What a tenant sells: units, products, rate plans, offerings. Put here: their shapes and validation. Keep out: persistence and HTTP."""
