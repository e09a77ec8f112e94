"""Backups of the database: file format, creation, verification and retention.

`restore_tool` is the only reader. The tool is standalone and stored as `restore.py` beside the
backups, so that they can be read without Taskdeck.
"""
