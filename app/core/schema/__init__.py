"""JSON Schema of template parameters: validation and forms."""
