"""Backups of the database: what a file of one holds, how it is taken and checked, and how long it stays.

`restore_tool` is the one reader. It stands alone, and lies as `restore.py` beside the backups, so that they can be read without us.
"""
