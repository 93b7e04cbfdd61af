"""Order processing: the backlog, the bounded queues, the pool of processes, and the workers in them."""
