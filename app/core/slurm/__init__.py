"""Options of Slurm's batch scripts, and their translation."""
