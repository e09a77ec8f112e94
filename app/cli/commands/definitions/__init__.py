"""Commands about definitions, limits, reservations, alerts and channels."""
