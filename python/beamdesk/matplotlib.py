"""Shows what matplotlib's `imshow` shows, with all its values.

    figure, axes = pyplot.subplots()
    image = axes.imshow(slice16, cmap="gray")
    beamdesk.matplotlib.follow(image)

From then on viewers of the desktop see the image's own 16 bits over its place on the screen, through
zooming, panning, resizing, moving, `set_data` and `set_clim`; and the screen itself where the window
is covered or hidden, as far as its toolkit tells. Works with the Tk and Qt backends.
"""

from __future__ import annotations

import math
from typing import Any, Callable, Optional

from . import Picture, Rect, Window

__all__ = ["Follower", "follow"]

LOOK_MS = 200
"""Where nothing tells of moves, the place is looked at so often."""


def follow(image: Any) -> "Follower":
    """Keeps viewers' picture of an `AxesImage` up to date until its figure is closed."""
    return Follower(image)


class Follower:
    """What ties an image to its picture at the viewers."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.picture = Picture(Rect(0, 0, 1, 1))
        self._data: Any = None
        self._shown: Optional[tuple] = None
        self._place: Optional[tuple] = None
        self._canvas = image.figure.canvas
        self._screen = _screen_of(self._canvas, self.refresh)
        self._hooks = [
            self._canvas.mpl_connect("draw_event", self.refresh),
            self._canvas.mpl_connect("close_event", self.close),
        ]
        # matplotlib keeps its callbacks weakly; the figure keeps us.
        image.figure._beamdesk = [*getattr(image.figure, "_beamdesk", []), self]
        self.refresh()

    def close(self, *_: object) -> None:
        """Viewers see the screen again."""
        for hook in self._hooks:
            self._canvas.mpl_disconnect(hook)
        self._hooks = []
        self.picture.close()

    def refresh(self, *_: object) -> None:
        """Tells viewers what has changed, if anything has."""
        if not self.picture.is_linked:
            return
        corner = self._screen.corner() if self.image.get_visible() else None
        part = None if corner is None else visible_part(self.image)
        if corner is None or part is None:
            if self._shown is not None:
                self.picture.hide()
            self._shown = None
            return
        (x, y, width, height), (rows, columns) = part
        scale = self._screen.scale()
        canvas_height = self.image.figure.bbox.height
        rect = Rect(
            corner[0] + round(x * scale),
            corner[1] + round((canvas_height - y - height) * scale),
            max(1, round(width * scale)),
            max(1, round(height * scale)),
        )
        window = Window.between(*self.image.get_clim())
        data = self.image.get_array()
        shown = (rows, columns, self.image.origin)
        place = (rect, window)
        # Held, so that no other array can have its place in memory and pass for it.
        if data is not self._data or shown != self._shown:
            self.picture.rect, self.picture.window = rect, window
            cut = data[rows[0] : rows[1], columns[0] : columns[1]]
            self.picture.update(cut if self.image.origin == "upper" else cut[::-1])
        elif place != self._place:
            self.picture.move(rect, window)
        self._data, self._shown, self._place = data, shown, place


def visible_part(image: Any) -> Optional[tuple]:
    """The whole pixels of an image that its axes show: their rectangle on the canvas, counted from
    its lower left, and their rows and columns. None if there are none.
    """
    data = image.get_array()
    if data is None or data.ndim != 2:
        return None
    rows, columns = data.shape
    left, right, bottom, top = image.get_extent()
    (x0, y0), (x1, y1) = image.axes.transData.transform([(left, bottom), (right, top)])
    if x1 <= x0 or y1 <= y0:
        return None  # Turned over: the screen shows it, we do not.
    box = image.axes.bbox
    across = _whole(x0, x1, columns, box.x0, box.x1)
    up = _whole(y0, y1, rows, box.y0, box.y1)
    if across is None or up is None:
        return None
    (first, last), (x, width) = across
    (low, high), (y, height) = up
    # Rows are counted from above where the origin is the upper one.
    band = (rows - high, rows - low) if image.origin == "upper" else (low, high)
    return (x, y, width, height), (band, (first, last))


def _whole(start: float, end: float, count: int, low: float, high: float) -> Optional[tuple]:
    """Those of `count` pixels from `start` to `end` that lie between `low` and `high` entirely."""
    size = (end - start) / count
    # A hundredth of a pixel of the screen outside is no more than a rounding.
    first = max(0, math.ceil((low - start - 0.01) / size))
    last = min(count, math.floor((high - start + 0.01) / size))
    if last <= first:
        return None
    return (first, last), (start + first * size, (last - first) * size)


def _screen_of(canvas: Any, changed: Callable[[], None]) -> Any:
    if hasattr(canvas, "get_tk_widget"):
        return _Tk(canvas.get_tk_widget(), changed)
    if hasattr(canvas, "mapToGlobal"):
        return _Qt(canvas, changed)
    return _Nowhere()


class _Tk:
    """Where a Tk widget is on the screen."""

    def __init__(self, widget: Any, changed: Callable[[], None]) -> None:
        self._widget = widget
        self._is_clear = True
        self._changed = changed
        top = widget.winfo_toplevel()
        top.bind("<Configure>", lambda _: changed(), add="+")
        top.bind("<Unmap>", lambda _: changed(), add="+")
        top.bind("<Map>", lambda _: changed(), add="+")
        widget.bind("<Visibility>", self._visibility, add="+")

    def _visibility(self, event: Any) -> None:
        # A window that is covered, even in part, is left to the screen.
        self._is_clear = str(event.state) == "VisibilityUnobscured"
        self._changed()

    def corner(self) -> Optional[tuple]:
        if not (self._is_clear and self._widget.winfo_viewable()):
            return None
        return self._widget.winfo_rootx(), self._widget.winfo_rooty()

    def scale(self) -> float:
        return 1.0


class _Qt:
    """Where a Qt widget is on the screen."""

    def __init__(self, widget: Any, changed: Callable[[], None]) -> None:
        from matplotlib.backends.qt_compat import QtCore

        self._widget = widget
        # Qt does not tell a widget when its window moves or is put away.
        self._look = QtCore.QTimer(widget)
        self._look.timeout.connect(changed)
        self._look.start(LOOK_MS)

    def corner(self) -> Optional[tuple]:
        window = self._widget.window()
        if not self._widget.isVisible() or window.isMinimized():
            return None
        scale = self._widget.devicePixelRatioF()
        # `rect().topLeft()` is a point of whichever Qt this is.
        corner = self._widget.mapToGlobal(self._widget.rect().topLeft())
        return round(corner.x() * scale), round(corner.y() * scale)

    def scale(self) -> float:
        # The canvas counts in pixels of the screen already.
        return 1.0


class _Nowhere:
    """A canvas that is on no screen."""

    def corner(self) -> Optional[tuple]:
        return None

    def scale(self) -> float:
        return 1.0
