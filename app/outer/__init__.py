"""Engines that run tasks on other hosts."""
