"""Replays of recorded job traces through the plan."""
