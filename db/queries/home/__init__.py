"""Identity, backups and replicas of a home, and its retention."""
