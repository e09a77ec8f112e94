"""SLA conditions of the general form: models, evaluation, states of alerts, and wording."""
