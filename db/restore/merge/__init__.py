"""Merge of what happened since a backup into the restored database."""
