"""Process supervisor. It outlives the runtime and imports only the standard library."""
