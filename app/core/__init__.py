"""Pure decisions: scheduling, schemas, filters, SLA rules and texts. No input or output."""
