"""What-if: the forecast before and after changes that are only supposed."""
