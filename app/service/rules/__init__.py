"""Evaluation of SLA rules of the general form."""
