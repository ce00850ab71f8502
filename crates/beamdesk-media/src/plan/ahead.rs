//! Small changes beside a large one go first, as a frame of their own: a letter that is typed beside
//! a movie of a thousand kilobytes a frame does not wait for those.

use super::Planner;
use super::groups::groups_of;
use crate::geometry::Rect;

/// Larger groups are not small changes: a line of text, a menu's entry, a row of a table are.
const TILES_MAX: usize = 16;
/// Less than this holds nothing up: about a millisecond of agent and browser each.
const BYTES_MIN: usize = 96 << 10;
/// What is this much apart, pixels, does not belong together: more than letters of a line.
const APART: u16 = 12;

impl Planner {
    /// Takes out of the fresh tiles those that should go first.
    pub(super) fn first(&self, fresh: &mut Vec<u16>) -> Vec<u16> {
        let bytes = fresh.len().saturating_mul(self.costs.tile_bytes());
        if self.has_copy || bytes < BYTES_MIN {
            return Vec::new();
        }
        let mut is_fresh = vec![false; self.tiles.len()];
        fresh.iter().for_each(|&tile| is_fresh[usize::from(tile)] = true);
        let around = |tile: u16| {
            let area = self.tiles[usize::from(tile)].area?;
            let Rect { x, y, width, height } = self.grid.place(tile, area);
            let grown = |length: u16| length.saturating_add(APART);
            Some(Rect { x, y, width: grown(width), height: grown(height) })
        };
        // Each is grown to the right and down, so that two meet from either side.
        let touch = |one: u16, other: u16| match (around(one), around(other)) {
            (Some(one), Some(other)) => !one.intersection(other).is_empty(),
            (None, _) | (_, None) => true,
        };
        let groups = groups_of(self.grid, |tile| is_fresh[usize::from(tile)], touch);
        let mut first: Vec<u16> =
            groups.into_iter().filter(|group| group.len() <= TILES_MAX).flatten().collect();
        // Much that is small is as long as something large.
        if first.len() > TILES_MAX {
            return Vec::new();
        }
        first.sort_unstable();
        first.iter().for_each(|&tile| is_fresh[usize::from(tile)] = false);
        fresh.retain(|&tile| is_fresh[usize::from(tile)]);
        if fresh.is_empty() {
            // They are all there is.
            return std::mem::replace(fresh, first);
        }
        first
    }
}
