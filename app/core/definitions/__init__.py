"""The definitions file: model, formats and fault positions."""
