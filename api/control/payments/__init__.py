"""Payment gateways and payment methods over HTTP. Keep out: taking payments."""
