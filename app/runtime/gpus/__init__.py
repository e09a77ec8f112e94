"""GPUs of the machine: readers of the drivers, and the monitor that asks them."""
