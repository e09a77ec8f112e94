"""Expected starts and ends of tasks: simulations, run times of past runs, and what-if."""
