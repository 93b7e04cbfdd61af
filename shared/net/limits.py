"""Limits of connections, and their settings."""

from typing import Annotated

from msgspec import Meta, Struct

# Descriptors that a process needs besides its connections.
_OWN_FILES = 40

_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]


class Limits(Struct, frozen=True):
    """Limits of one connection; see section 6 of docs/PROTOCOL.md."""

    document_bytes: int
    depth: int
    in_flight: int
    connections: int
    connections_per_address: int
    unread_bytes: int
    idle_seconds: float
    stall_seconds: float
    one_shot_seconds: float
    piped_seconds: float


class LimitSettings(Struct, frozen=True):
    """Limit settings of all TCP servers; times are seconds."""

    max_depth: Annotated[int, Meta(ge=4, le=500)] = 32
    max_in_flight: _Count = 4096
    max_connections: _Count = 12_000
    max_connections_per_address: _Count = 1000
    max_unread_bytes: Annotated[int, Meta(ge=4096)] = 1_048_576
    idle_seconds: _Seconds = 300.0
    stall_seconds: _Seconds = 60.0
    one_shot_seconds: _Seconds = 0.2
    piped_seconds: _Seconds = 10.0

    def build_limits(self, *, document_bytes: int, open_files: int) -> Limits:
        """Returns the limits for a process that may open `open_files` files."""
        return Limits(
            document_bytes=document_bytes,
            depth=self.max_depth,
            in_flight=self.max_in_flight,
            connections=max(min(self.max_connections, open_files - _OWN_FILES), 1),
            connections_per_address=self.max_connections_per_address,
            unread_bytes=self.max_unread_bytes,
            idle_seconds=self.idle_seconds,
            stall_seconds=self.stall_seconds,
            one_shot_seconds=self.one_shot_seconds,
            piped_seconds=self.piped_seconds,
        )
