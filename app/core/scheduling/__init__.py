"""Dispatch decisions, waiting reasons and forecasts."""
