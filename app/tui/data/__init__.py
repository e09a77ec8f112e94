"""The deck's connections to the runtime."""
