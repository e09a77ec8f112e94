"""Facts that rules judge: subjects, instances, and values of metrics, now and in the past."""
