"""The other benchmark: Comanda beside task queues, from the first job sent to the last one done, and under kills.

`make bench-peers` runs it.
"""
