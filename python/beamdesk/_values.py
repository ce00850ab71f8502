"""From arrays of any kind to little-endian 16-bit values and an offset."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

EDGE_MAX = 8192
# Adding 32768 to a signed value is turning over its highest bit.
_FLIP = bytes(byte ^ 0x80 for byte in range(256))


class Values(NamedTuple):
    """A slice as it goes to the agent."""

    columns: int
    rows: int
    offset: int
    """What to add to a stored value to have the one in the array."""
    data: bytes


def values_of(array: Any) -> Values:
    """Reads any two-dimensional array of integers of 8 or 16 bits, without a loss."""
    if isinstance(array, (list, tuple)):
        return _from_rows(array)
    view = _view(array)
    if view.ndim != 2:
        raise ValueError(f"a slice has two dimensions, not {view.ndim}")
    rows, columns = view.shape
    _check(columns, rows)
    return Values(columns, rows, *_stored(view.format, view.tobytes()))


def _view(array: Any) -> memoryview:
    try:
        return memoryview(array)
    except (TypeError, ValueError):
        pass
    # Arrays of other libraries (masked, lazy, on a GPU) know how to become one of NumPy's.
    try:
        import numpy
    except ImportError:
        raise TypeError(
            f"{type(array).__name__} gives no buffer; with NumPy installed it could be converted"
        ) from None
    return memoryview(numpy.asarray(array))


def _from_rows(rows: Any) -> Values:
    """A list of rows, each an array of its own."""
    parts = [_view(row) for row in rows]
    if not parts or any(part.ndim != 1 for part in parts):
        raise ValueError("a list must hold rows, each with one dimension")
    shapes = {(part.format, part.shape[0]) for part in parts}
    if len(shapes) > 1:
        raise ValueError("all rows must have one length and type")
    ((kind, columns),) = shapes
    _check(columns, len(parts))
    return Values(columns, len(parts), *_stored(kind, b"".join(part.tobytes() for part in parts)))


def _check(columns: int, rows: int) -> None:
    if not (1 <= columns <= EDGE_MAX and 1 <= rows <= EDGE_MAX):
        raise ValueError(f"a slice has 1 to {EDGE_MAX} columns and rows, not {columns} x {rows}")


def _stored(kind: str, data: bytes) -> "tuple[int, bytes]":
    """Offset and values, from what `struct` calls the kind."""
    order, code = (kind[0], kind[1:]) if kind[:1] in "@=<>!" else ("@", kind)
    is_big = order in ">!" or (order in "@=" and sys.byteorder == "big")
    if code == "H":
        return 0, _swapped(data) if is_big else data
    if code == "h":
        little = bytearray(_swapped(data) if is_big else data)
        little[1::2] = little[1::2].translate(_FLIP)
        return -32768, bytes(little)
    if code in ("B", "?"):
        return 0, _widened(data)
    if code == "b":
        return -128, _widened(data.translate(_FLIP))
    raise TypeError(
        f"values of type {kind!r} would not be exact in 16 bits: "
        "convert them to integers of 16 bits first, in the way that suits them"
    )


def _swapped(data: bytes) -> bytes:
    out = bytearray(len(data))
    out[0::2], out[1::2] = data[1::2], data[0::2]
    return bytes(out)


def _widened(data: bytes) -> bytes:
    out = bytearray(2 * len(data))
    out[0::2] = data
    return bytes(out)
