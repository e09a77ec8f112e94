"""Taskdeck as `python -m taskdeck`."""

from taskdeck import main

main()
