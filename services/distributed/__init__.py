"""The distributed service: statistics, notifications and the event log, derived from the other servers' changes."""
