"""Coupons over HTTP. Keep out: what they take off, who may redeem them."""
