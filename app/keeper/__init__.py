"""Process supervisor. The keeper outlives the runtime and imports only the standard library."""
