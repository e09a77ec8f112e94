"""Passes over the rules: which alerts begin, stay and end, and when each rule is due."""
