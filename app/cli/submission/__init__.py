"""Parts of `submit`: its options, the lines of --each and the context to capture."""
