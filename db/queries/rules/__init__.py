"""Reads and writes of SLA rules, alerts, silences, check-ins and messages."""
