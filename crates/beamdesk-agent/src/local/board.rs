//! What programs have put on show and marked, as the engine has it.

use std::{collections::BTreeMap, sync::Arc};

use beamdesk_media::{PictureSize, SLICE_PLACES, SlicePlace, SliceRect};
use beamdesk_proto::{
    control::{REGIONS_MAX, Region},
    local::Refusal,
};
use tokio::sync::oneshot;

use super::Slice;

/// What a program's connection tells the engine.
#[derive(Debug)]
pub enum Change {
    Show(Arc<Slice>, SlicePlace),
    /// What is `None` stays. Answered, since there may be no picture or no such place.
    Move {
        rect: Option<SliceRect>,
        window: Option<f64>,
        level: Option<f64>,
        told: oneshot::Sender<Result<(), Refusal>>,
    },
    Hide,
    Mark(SliceRect),
    Unmark,
    Ask(oneshot::Sender<State>),
    /// The program has gone, and what it had on show with it.
    Gone,
}

/// Who sees a program's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    pub viewers: usize,
    /// Those that said the right hash of all values.
    pub exact: usize,
}

/// What is to be shown at one place.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) slice: Arc<Slice>,
    pub(super) at: SlicePlace,
}

/// Everything that programs want to be seen.
#[derive(Debug, Default)]
pub struct Board {
    clients: BTreeMap<u64, Wishes>,
    places: [Option<Shown>; SLICE_PLACES],
}

#[derive(Debug, Default)]
struct Wishes {
    place: Option<u8>,
    mark: Option<SliceRect>,
}

impl Board {
    /// Takes in a change; gives whether the marks may be others now. [`Change::Ask`] is left
    /// unanswered: only who has the viewers can.
    pub fn apply(&mut self, client: u64, change: Change) -> bool {
        match change {
            Change::Show(slice, at) => {
                if let Some(place) = self.place_for(client) {
                    self.places[usize::from(place)] = Some(Shown { slice, at });
                }
                false
            }
            Change::Move { rect, window, level, told } => {
                let moved = self.shown_of(client).ok_or(Refusal::NoSlice).and_then(|shown| {
                    let at = SlicePlace {
                        rect: rect.unwrap_or(shown.at.rect),
                        window: window.unwrap_or(shown.at.window),
                        level: level.unwrap_or(shown.at.level),
                        offset: shown.at.offset,
                    };
                    if !at.is_valid() {
                        return Err(Refusal::Bounds);
                    }
                    shown.at = at;
                    Ok(())
                });
                // A program that has gone meanwhile does not want to know.
                told.send(moved).unwrap_or_default();
                false
            }
            Change::Hide => {
                self.hide(client);
                false
            }
            Change::Mark(rect) => {
                self.clients.entry(client).or_default().mark = Some(rect);
                true
            }
            Change::Unmark => {
                self.clients.get_mut(&client).is_some_and(|wishes| wishes.mark.take().is_some())
            }
            Change::Ask(_) => false,
            Change::Gone => {
                self.hide(client);
                self.clients.remove(&client).is_some_and(|wishes| wishes.mark.is_some())
            }
        }
    }

    /// The place that a program's picture has.
    pub fn place(&self, client: u64) -> Option<u8> {
        self.clients.get(&client)?.place
    }

    /// The marks, as parts of a screen of this size; those out of it are left out.
    pub fn regions(&self, screen: PictureSize) -> Vec<Region> {
        let marks = self.clients.values().filter_map(|wishes| wishes.mark);
        marks.filter_map(|rect| region(rect, screen)).take(REGIONS_MAX).collect()
    }

    pub(super) fn shown(&self, place: usize) -> Option<&Shown> {
        self.places.get(place)?.as_ref()
    }

    fn shown_of(&mut self, client: u64) -> Option<&mut Shown> {
        let place = self.place(client)?;
        self.places.get_mut(usize::from(place))?.as_mut()
    }

    /// Kept for as long as the program has a picture, so that its viewers need not move it.
    fn place_for(&mut self, client: u64) -> Option<u8> {
        if let Some(place) = self.place(client) {
            return Some(place);
        }
        let free = self.places.iter().position(Option::is_none)?;
        let free = u8::try_from(free).ok()?;
        self.clients.entry(client).or_default().place = Some(free);
        Some(free)
    }

    fn hide(&mut self, client: u64) {
        let place = self.clients.get_mut(&client).and_then(|wishes| wishes.place.take());
        if let Some(place) = place {
            self.places[usize::from(place)] = None;
        }
    }
}

fn region(rect: SliceRect, screen: PictureSize) -> Option<Region> {
    let (x, width) = clipped(rect.x, rect.width, screen.width())?;
    let (y, height) = clipped(rect.y, rect.height, screen.height())?;
    Some(Region { x, y, width, height })
}

/// The part of a stretch that lies within 0 to `end`; `None` if there is none.
fn clipped(from: i16, length: u16, end: u16) -> Option<(u16, u16)> {
    let first = i32::from(from).max(0);
    let last = (i32::from(from) + i32::from(length)).min(end.into());
    let (first, length) = (u16::try_from(first).ok()?, u16::try_from(last - first).ok()?);
    (length > 0).then_some((first, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_cut_to_the_screen() {
        let screen = PictureSize::new(640, 480).unwrap();
        let rect = |x, y, width, height| SliceRect { x, y, width, height };
        let cut = |of| region(of, screen).map(|r| (r.x, r.y, r.width, r.height));
        assert_eq!(cut(rect(10, 20, 30, 40)), Some((10, 20, 30, 40)));
        assert_eq!(cut(rect(-10, -20, 30, 40)), Some((0, 0, 20, 20)));
        assert_eq!(cut(rect(600, 400, 100, 100)), Some((600, 400, 40, 80)));
        assert_eq!(cut(rect(640, 0, 10, 10)), None);
        assert_eq!(cut(rect(-10, 0, 10, 10)), None);
        assert_eq!(cut(rect(i16::MIN, i16::MIN, u16::MAX, u16::MAX)), Some((0, 0, 640, 480)));
    }

    #[test]
    fn marks_go_with_their_program() {
        let screen = PictureSize::new(640, 480).unwrap();
        let mut board = Board::default();
        let rect = SliceRect { x: 1, y: 2, width: 3, height: 4 };
        assert!(board.apply(1, Change::Mark(rect)));
        assert!(board.apply(2, Change::Mark(SliceRect { x: 9, ..rect })));
        assert_eq!(board.regions(screen).len(), 2);
        assert!(board.apply(1, Change::Gone));
        assert!(!board.apply(1, Change::Gone));
        assert!(!board.apply(3, Change::Unmark));
        assert_eq!(board.regions(screen), [Region { x: 9, y: 2, width: 3, height: 4 }]);
        assert!(board.apply(2, Change::Unmark));
        assert!(board.regions(screen).is_empty());
    }
}
