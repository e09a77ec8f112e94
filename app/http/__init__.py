"""HTTP server of a runtime: a read-only JSON API, health and metrics.

Only this package imports the web framework.
"""
