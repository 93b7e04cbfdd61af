"""Working orders off: the backlog, the bounded queues, the pool of processes, and what runs in them."""
