"""Steps that every request passes: request ids, deadlines, the request log, metrics and rate limits."""
