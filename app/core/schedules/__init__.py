"""Schedules: when they fire, in which words, and which missed fires are made up for."""
