"""The past: operations, rollups, samples, sums of usage, and the state at a past moment."""
