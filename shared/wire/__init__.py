"""The wire format: bytes in, typed documents out, replies back; no sockets, no asyncio."""
