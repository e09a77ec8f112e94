"""Pacemaker: the OCF resource agent of a home, and the commands that make it a resource."""
