"""Take-over of work that waits in other queue managers: their state, the steps, the report."""
