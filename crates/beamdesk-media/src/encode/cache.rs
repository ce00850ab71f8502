//! What the viewer has put aside, by content; the least recently used goes first.

use std::collections::{BTreeMap, HashMap};

use crate::geometry::Rect;
use crate::pixels::Pixels;

/// Uses are numbered from 1.
const NEVER: u64 = 0;

/// What identifies a tile's content before its pixels are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    hash: u64,
    width: u16,
    height: u16,
}

#[derive(Debug)]
struct Slot {
    key: Key,
    pixels: Vec<u8>,
    used: u64,
}

/// The viewer's cache as the agent knows it. It keeps the pixels too, 16 KiB a slot, so that two
/// tiles of the same hash are never taken for each other.
#[derive(Debug)]
pub(super) struct TileCache {
    slots_max: u16,
    slots: Vec<Slot>,
    by_key: HashMap<Key, u16>,
    by_use: BTreeMap<u64, u16>,
    clock: u64,
}

impl TileCache {
    pub(super) fn new(slots_max: u16) -> Self {
        Self {
            slots_max,
            slots: Vec::new(),
            by_key: HashMap::new(),
            by_use: BTreeMap::new(),
            clock: 0,
        }
    }

    /// Forgets everything: what the viewer holds is in doubt.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.slots_max);
    }

    /// Whether pixels of this hash are kept, most likely these.
    pub(super) fn has(&self, rect: Rect, hash: u64) -> bool {
        self.by_key.contains_key(&Key { hash, width: rect.width, height: rect.height })
    }

    /// The slot that holds just these pixels.
    pub(super) fn find(&mut self, pixels: &Pixels, rect: Rect, hash: u64) -> Option<u16> {
        let key = Key { hash, width: rect.width, height: rect.height };
        let slot = *self.by_key.get(&key)?;
        let kept = self.slots[usize::from(slot)].pixels.chunks_exact(usize::from(rect.width) * 4);
        if !kept.eq(pixels.rows(rect)) {
            return None;
        }
        self.touch(slot);
        Some(slot)
    }

    /// The slot to put these pixels into; `None` if they are kept already, or there are no slots.
    pub(super) fn keep(&mut self, pixels: &Pixels, rect: Rect, hash: u64) -> Option<u16> {
        if self.slots_max == 0 || self.find(pixels, rect, hash).is_some() {
            return None;
        }
        let key = Key { hash, width: rect.width, height: rect.height };
        let slot = match u16::try_from(self.slots.len()) {
            Ok(fresh) if fresh < self.slots_max => {
                self.slots.push(Slot { key, pixels: Vec::new(), used: NEVER });
                fresh
            }
            Ok(_) | Err(_) => {
                let (_, oldest) = self.by_use.pop_first()?;
                let old = self.slots[usize::from(oldest)].key;
                // Two contents of one hash: the key may by now belong to the other slot.
                if self.by_key.get(&old) == Some(&oldest) {
                    self.by_key.remove(&old);
                }
                oldest
            }
        };
        let entry = &mut self.slots[usize::from(slot)];
        entry.key = key;
        entry.pixels.clear();
        pixels.rows(rect).for_each(|row| entry.pixels.extend_from_slice(row));
        self.by_key.insert(key, slot);
        self.touch(slot);
        Some(slot)
    }

    fn touch(&mut self, slot: u16) {
        let entry = &mut self.slots[usize::from(slot)];
        self.by_use.remove(&entry.used);
        self.clock += 1;
        entry.used = self.clock;
        self.by_use.insert(self.clock, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PictureSize;

    const RECT: Rect = Rect { x: 0, y: 0, width: 64, height: 64 };

    fn tile(colour: u8) -> Pixels {
        let mut pixels = Pixels::black(PictureSize::new(64, 64).unwrap());
        pixels.row_mut(RECT, 5)[0] = colour;
        pixels
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = TileCache::new(2);
        assert_eq!(cache.keep(&tile(1), RECT, 1), Some(0));
        assert_eq!(cache.keep(&tile(2), RECT, 2), Some(1));
        assert_eq!(cache.keep(&tile(1), RECT, 1), None, "it is kept already");
        assert_eq!(cache.keep(&tile(3), RECT, 3), Some(1));
        assert_eq!(cache.find(&tile(1), RECT, 1), Some(0));
        assert_eq!(cache.find(&tile(2), RECT, 2), None);
        assert_eq!(cache.find(&tile(3), RECT, 3), Some(1));
    }

    #[test]
    fn a_hash_alone_is_not_enough() {
        let mut cache = TileCache::new(2);
        assert_eq!(cache.keep(&tile(1), RECT, 7), Some(0));
        assert_eq!(cache.find(&tile(2), RECT, 7), None);
        assert_eq!(cache.keep(&tile(2), RECT, 7), Some(1));
        assert_eq!(cache.find(&tile(2), RECT, 7), Some(1));
        assert_eq!(cache.keep(&tile(3), RECT, 7), Some(0));
        assert_eq!(cache.find(&tile(3), RECT, 7), Some(0));
    }

    #[test]
    fn without_slots_nothing_is_kept() {
        let mut cache = TileCache::new(0);
        assert_eq!(cache.keep(&tile(1), RECT, 1), None);
        assert_eq!(cache.find(&tile(1), RECT, 1), None);
    }
}
