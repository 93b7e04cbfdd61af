"""Distributed: statistics, notifications and the event log, brought up to date by what the other servers do."""
