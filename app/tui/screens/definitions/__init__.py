"""Screens and forms for templates, schedules, queues, pools and rules."""
