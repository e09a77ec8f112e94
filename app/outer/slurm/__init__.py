"""Slurm as an outer engine: its commands, its states, and the client of the dispatcher."""
