"""Views of the plan: waiting tasks in order, limits, forecasts, and tasks behind the window."""
