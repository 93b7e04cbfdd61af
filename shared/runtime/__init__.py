"""What every process needs around its work: settings, logs, metrics, a life cycle."""
