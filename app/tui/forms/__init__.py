"""Form models and fields."""
