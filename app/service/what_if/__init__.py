"""What-if: the forecast before and after supposed changes."""
