"""The frame of every process: settings, logs, metrics and life cycle."""
