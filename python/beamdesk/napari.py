"""Shows the slice of a napari image layer with all its values.

    viewer = napari.Viewer()
    layer = viewer.add_image(volume16)
    beamdesk.napari.follow(viewer, layer)

Only what can be shown as it is: a layer in two dimensions on the screen, not turned or sheared.
Otherwise, and while it is hidden, viewers see the screen.
"""

from __future__ import annotations

import math
from typing import Any, Optional

from . import Picture, Rect, Window

__all__ = ["Follower", "follow"]

LOOK_MS = 200
"""The window's place is looked at so often."""


def follow(viewer: Any, layer: Any) -> "Follower":
    """Keeps viewers' picture of an image layer up to date until the window is closed."""
    return Follower(viewer, layer)


class Follower:
    """What ties a layer to its picture at the viewers."""

    def __init__(self, viewer: Any, layer: Any) -> None:
        self.viewer = viewer
        self.layer = layer
        self.picture = Picture(Rect(0, 0, 1, 1))
        self._data: Any = None
        self._shown: Optional[tuple] = None
        self._place: Optional[tuple] = None
        for events in (viewer.dims.events.current_step, viewer.dims.events.ndisplay):
            events.connect(self.refresh)
        viewer.camera.events.connect(self.refresh)
        for name in ("data", "contrast_limits", "visible", "scale", "translate"):
            getattr(layer.events, name).connect(self.refresh)
        # Nothing tells of a window that moves or is put away.
        from qtpy.QtCore import QTimer

        self._look = QTimer(viewer.window._qt_window)
        self._look.timeout.connect(self.refresh)
        self._look.start(LOOK_MS)
        self.refresh()

    def close(self) -> None:
        """Viewers see the screen again."""
        self._look.stop()
        self.picture.close()

    def refresh(self, *_: object) -> None:
        """Tells viewers what has changed, if anything has."""
        if not self.picture.is_linked:
            return
        part = self._part()
        if part is None:
            if self._shown is not None:
                self.picture.hide()
            self._shown = None
            return
        rect, rows, columns, index = part
        low, high = self.layer.contrast_limits
        window = Window.between(low, high)
        data = self.layer.data
        shown = (index, rows, columns)
        place = (rect, window)
        # Held, so that no other array can have its place in memory and pass for it.
        if data is not self._data or shown != self._shown:
            self.picture.rect, self.picture.window = rect, window
            plane = data[index]
            self.picture.update(plane[rows[0] : rows[1], columns[0] : columns[1]])
        elif place != self._place:
            self.picture.move(rect, window)
        self._data, self._shown, self._place = data, shown, place

    def _part(self) -> Optional[tuple]:
        """Where the visible whole pixels are on the screen, and which they are."""
        dims = self.viewer.dims
        if not self.layer.visible or dims.ndisplay != 2 or self.layer.rgb:
            return None
        if tuple(dims.displayed) != (self.layer.ndim - 2, self.layer.ndim - 1):
            return None
        widget = self.viewer.window._qt_viewer.canvas.native
        if not widget.isVisible() or widget.window().isMinimized():
            return None
        scale = widget.devicePixelRatioF()
        corner = widget.mapToGlobal(widget.rect().topLeft())
        width, height = widget.width() * scale, widget.height() * scale
        zoom = self.viewer.camera.zoom * scale
        _, centre_y, centre_x = self.viewer.camera.center
        # The middle of a pixel has whole coordinates: its edge is half a pixel before.
        edges = []
        for axis, centre, room, count in (
            (-2, centre_y, height, self.layer.data.shape[-2]),
            (-1, centre_x, width, self.layer.data.shape[-1]),
        ):
            size = self.layer.scale[axis] * zoom
            if size <= 0:
                return None
            start = room / 2 + (self.layer.translate[axis] - centre) * zoom - size / 2
            first = max(0, math.ceil(-start / size - 0.01))
            last = min(count, math.floor((room - start) / size + 0.01))
            if last <= first:
                return None
            edges.append(((first, last), start + first * size, (last - first) * size))
        (rows, y, tall), (columns, x, wide) = edges
        rect = Rect(
            round(corner.x() * scale + x),
            round(corner.y() * scale + y),
            max(1, round(wide)),
            max(1, round(tall)),
        )
        return rect, rows, columns, tuple(dims.current_step[: self.layer.ndim - 2])
