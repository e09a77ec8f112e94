"""Notifications: channels of config.toml, actions of rules, and the texts of messages."""
