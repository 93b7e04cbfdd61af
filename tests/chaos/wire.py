"""What holds for any bytes whatever, cut anyhow: the law that the fuzzer and the property tests check."""

import itertools
from collections.abc import Iterable, Sequence

from services.intake.parser import OrderArray, OrderParser
from shared.domain.errors import InvalidParams
from shared.domain.orders import OrderRequest
from shared.wire.framing import BrokenRequest, Frame, Framer
from shared.wire.orders import OrderBlock, OrderDecoder, encode_orders
from shared.wire.telnet import Interrupt

_DOCUMENT_BYTES = 2048
_DEPTH = 8


def check(data: bytes, cuts: Iterable[int]) -> None:
    """Raises AssertionError, or whatever escapes, when these bytes break the law.

    The frames are the same however the stream is cut; every frame becomes an item; and an order that is taken
    comes back from its own document as it went in, so nothing is accepted that would fail later.
    """
    frames = _frames([data])
    cut = _frames(_pieces(data, cuts))
    assert list(map(_shown, cut)) == list(map(_shown, frames)), "the frames depend on how the stream is cut"
    parser = OrderParser(max_array_orders=10)
    for frame in frames:
        item = parser.parse_frame(frame)
        if isinstance(item, OrderBlock):
            _check_orders(item.orders)
        elif isinstance(item, OrderArray):
            _check_orders([member for member in item.members if not isinstance(member, InvalidParams)])


def _pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:stop] for start, stop in itertools.pairwise(places)]


def _frames(pieces: Iterable[bytes]) -> list[Frame]:
    """The frames of a stream up to where it is lost."""
    framer = Framer(document_bytes=_DOCUMENT_BYTES, depth=_DEPTH)
    found: list[Frame] = []
    for piece in (*pieces, None):
        for frame in framer.end_stream() if piece is None else framer.feed(piece):
            found.append(frame)
            if isinstance(frame, BrokenRequest) and frame.fatal:
                return found
    return found


def _shown(frame: Frame) -> object:
    """What makes two frames equal; errors and interrupts have no equality of their own."""
    match frame:
        case BrokenRequest(error):
            return type(error), vars(error)
        case Interrupt():
            return Interrupt
    return frame


def _check_orders(orders: Sequence[OrderRequest]) -> None:
    documents = encode_orders(list(orders))
    block = OrderDecoder().decode_block("".join(f"{document}\n" for document in documents).encode())
    again = None if block is None else block.orders
    if again is None:
        again = [OrderDecoder().decode_document(document.encode()) for document in documents]
    assert again == list(orders), "an order is not what its stored document says"
