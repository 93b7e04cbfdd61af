"""Steps that every request passes: request ids, deadlines, the request log, metrics, rate limits and bearer tokens."""
