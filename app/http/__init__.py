"""HTTP server of a runtime: a read-only JSON API. Only this package imports its web framework."""
