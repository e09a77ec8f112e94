"""Verbs of queues, pools, templates and SLA rules."""
