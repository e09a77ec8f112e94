"""Parts of `status`: the line for status bars and --watch."""
