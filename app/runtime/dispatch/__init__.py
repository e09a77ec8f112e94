"""Dispatch of tasks, the client of the keeper, and what follows from the ends of runs."""
