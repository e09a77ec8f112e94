"""What a command does by itself: reading without a runtime, the verbs that need there to be none, and all about backups."""
