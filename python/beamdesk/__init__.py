"""Shows 16-bit slices exactly, with window and level, to whoever views this Beamdesk desktop.

Outside such a desktop everything here does nothing, after one warning (`NotOnDesktop`).
"""

from __future__ import annotations

import time
import warnings
from typing import Any, NamedTuple, Optional, Tuple

from ._link import Gone, Link, Refused, socket_path
from ._values import Values, values_of

__all__ = [
    "Mark",
    "NotOnDesktop",
    "Picture",
    "Rect",
    "Refused",
    "State",
    "Window",
    "available",
    "mark",
    "show",
]


class NotOnDesktop(UserWarning):
    """This program does not run on a Beamdesk desktop, or its agent has gone: nothing is shown."""


class Rect(NamedTuple):
    """A rectangle of the screen, in pixels."""

    x: int
    y: int
    width: int
    height: int


class Window(NamedTuple):
    """The values that are spread from black to white: how many, and the middle one.

    As in DICOM PS3.3 C.11.2.1.2.1.
    """

    width: float
    level: float

    @classmethod
    def between(cls, black: float, white: float) -> "Window":
        """Black at and below the one value, white at and above the other."""
        return cls(white - black + 1, (black + white) / 2 + 0.5)


class State(NamedTuple):
    """Who sees a picture."""

    viewers: int
    """Browsers that view this desktop."""
    exact: int
    """Those that have proven by a checksum that they hold exactly these values."""


def available() -> bool:
    """Whether this program runs on a Beamdesk desktop."""
    return socket_path() is not None


def show(
    array: Any,
    rect: Tuple[int, int, int, int],
    window: Optional[Tuple[float, float]] = None,
) -> "Picture":
    """Shows a slice in a rectangle of the screen, until its `Picture` is closed or forgotten.

    array: two dimensions of integers of 8 or 16 bits, rows first.
    rect: x, y, width, height on the screen, in pixels; may reach out of the screen.
    window: width and level; left out, from the smallest to the largest value.
    """
    picture = Picture(rect, window)
    picture.update(array)
    return picture


def mark(rect: Tuple[int, int, int, int]) -> "Mark":
    """Marks a rectangle of the screen as what matters: it gets the line first."""
    return Mark(rect)


class _Linked:
    """Something that lasts as long as its link to the agent."""

    def __init__(self) -> None:
        self._link: Optional[Link] = None
        path = socket_path()
        if path is None:
            self._warn("BEAMDESK_SOCKET is not set")
            return
        try:
            self._link = Link(path)
        except OSError as error:
            self._warn(f"{path}: {error.strerror or error}")

    @property
    def is_linked(self) -> bool:
        """Whether there is an agent that listens."""
        return self._link is not None

    def close(self) -> None:
        """Takes it from the screen. May be called twice."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, header: dict, data: bytes = b"") -> Optional[dict]:
        if self._link is None:
            return None
        try:
            return self._link.ask(header, data)
        except Gone as error:
            self.close()
            self._warn(str(error))
            return None

    @staticmethod
    def _warn(why: str) -> None:
        text = f"not on a Beamdesk desktop, so nothing is shown to viewers ({why})"
        warnings.warn(text, NotOnDesktop, stacklevel=4)


class Picture(_Linked):
    """A slice on show, or a place for one."""

    def __init__(
        self,
        rect: Tuple[int, int, int, int],
        window: Optional[Tuple[float, float]] = None,
    ) -> None:
        self.rect = Rect(*(int(side) for side in rect))
        self.window = None if window is None else Window(*(float(part) for part in window))
        super().__init__()

    def update(self, array: Any) -> None:
        """Shows another slice in the same place. Viewers keep the old one until it is whole."""
        values = array if isinstance(array, Values) else values_of(array)
        header = {
            "type": "slice",
            "rect": self.rect._asdict(),
            "columns": values.columns,
            "rows": values.rows,
            "offset": values.offset,
        }
        if self.window is not None:
            header.update(window=self.window.width, level=self.window.level)
        self._ask(header, values.data)

    def move(
        self,
        rect: Optional[Tuple[int, int, int, int]] = None,
        window: Optional[Tuple[float, float]] = None,
    ) -> None:
        """The slice is elsewhere on the screen, or has another contrast; no value is sent again."""
        header: dict = {"type": "move"}
        if rect is not None:
            self.rect = Rect(*(int(side) for side in rect))
            header["rect"] = self.rect._asdict()
        if window is not None:
            self.window = Window(*(float(part) for part in window))
            header.update(window=self.window.width, level=self.window.level)
        self._ask(header)

    def hide(self) -> None:
        """Takes the slice away until the next `update`: what the screen itself shows is seen."""
        self._ask({"type": "hide"})

    def state(self) -> State:
        """Who sees the slice that was shown last."""
        answer = self._ask({"type": "state"})
        return State(0, 0) if answer is None else State(answer["viewers"], answer["exact"])

    def wait_exact(self, timeout: float = 10.0) -> bool:
        """Waits until every viewer holds exactly the slice shown last; whether that came true."""
        end = time.monotonic() + timeout
        while self.is_linked:
            state = self.state()
            if 0 < state.viewers == state.exact:
                return True
            if time.monotonic() >= end:
                break
            time.sleep(0.02)
        return False


class Mark(_Linked):
    """A part of the screen that matters, until it is closed or forgotten."""

    def __init__(self, rect: Tuple[int, int, int, int]) -> None:
        super().__init__()
        self.move(rect)

    def move(self, rect: Tuple[int, int, int, int]) -> None:
        """Marks another part instead."""
        self.rect = Rect(*(int(side) for side in rect))
        self._ask({"type": "mark", "rect": self.rect._asdict()})
