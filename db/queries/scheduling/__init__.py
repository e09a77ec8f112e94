"""Queries that the plan of starts and its forecasts need: order, amounts, limits, past runs."""
