//! What one capture changed.

use crate::geometry::{Area, Rect};

/// A part of the picture that moved, as if copied by way of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRect {
    pub from_x: u16,
    pub from_y: u16,
    /// Where it went; of the same size.
    pub to: Rect,
}

impl CopyRect {
    pub fn from(self) -> Rect {
        Rect { x: self.from_x, y: self.from_y, ..self.to }
    }

    /// Where what this brings into the rectangle comes from.
    pub(crate) fn origin(self, rect: Rect) -> Rect {
        let part = rect.intersection(self.to);
        if part.is_empty() {
            return part;
        }
        let x = part.x - self.to.x + self.from_x;
        let y = part.y - self.to.y + self.from_y;
        Rect { x, y, ..part }
    }
}

/// What one capture changed: first the copy, then the areas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// What still differs after the copy, by tile in rising order; at most one area for each tile.
    pub areas: Vec<(u16, Area)>,
    /// Checked pixel by pixel against the picture before this update.
    pub copy: Option<CopyRect>,
}

impl Update {
    pub fn is_empty(&self) -> bool {
        self.areas.is_empty() && self.copy.is_none()
    }
}
