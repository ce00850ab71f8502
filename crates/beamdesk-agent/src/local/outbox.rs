//! What one viewer was sent of the pictures on show, and what it is to be sent next.
//!
//! It compares what the board shows with what the viewer has: nothing is queued, and a viewer that
//! could not be sent anything for a while gets the newest pictures only.

use std::sync::Arc;

use beamdesk_media::{SLICE_PLACES, SliceMessages, SlicePlace};

use super::{Board, Slice, board::Shown};

/// A viewer that holds wrong values is sent the picture again so often, and then left alone.
const RESENDS_MAX: u8 = 3;

/// What came of a viewer's word that it holds a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    Exact,
    /// It holds something else, and is sent the picture again.
    Wrong,
    /// It holds something else, once too often.
    Hopeless,
    /// It spoke of a picture that it was sent no longer.
    Old,
}

/// One viewer's share of the pictures on show.
#[derive(Debug, Default)]
pub struct Outbox {
    places: [At; SLICE_PLACES],
    /// Number of the picture begun last.
    picture: u32,
    /// The place whose rows come next.
    turn: usize,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Nothing,
    /// What the viewer has there is to be hidden before anything else; it was wrong so often.
    Stale {
        wrong: u8,
    },
    Sent(Sent),
}

#[derive(Debug)]
struct Sent {
    slice: Arc<Slice>,
    at: SlicePlace,
    picture: u32,
    /// Number of the band to be sent next.
    next: usize,
    /// What the viewer shows until this one is whole; held because its memory still counts.
    before: Option<Arc<Slice>>,
    /// Another one was given up for it, so this one is sent to its end.
    is_patient: bool,
    is_confirmed: bool,
    wrong: u8,
}

impl Sent {
    fn is_whole(&self) -> bool {
        self.next >= self.slice.image.bands()
    }

    /// Whether it may be given up for a newer one: at most every other is, and none that is half
    /// sent, so that a viewer on a thin line sees whole pictures too.
    fn gives_way(&self) -> bool {
        self.is_whole() || !self.is_patient && self.next * 2 < self.slice.image.bands()
    }
}

impl Outbox {
    /// Whether the viewer lacks something.
    pub fn has_work(&self, board: &Board) -> bool {
        self.places.iter().enumerate().any(|(place, at)| match (at, board.shown(place)) {
            (At::Nothing, None) => false,
            (At::Nothing, Some(_)) | (At::Stale { .. }, _) | (At::Sent(_), None) => true,
            (At::Sent(sent), Some(shown)) => {
                !sent.is_whole() || !Arc::ptr_eq(&sent.slice, &shown.slice) || sent.at != shown.at
            }
        })
    }

    /// The next frame, of about so many bytes; `None` if the viewer lacks nothing.
    pub fn frame(&mut self, board: &Board, frame: u32, bytes: usize) -> Option<SliceMessages> {
        let mut out = SliceMessages::new(frame);
        for place in 0..SLICE_PLACES {
            self.announce(place, board.shown(place), &mut out);
        }
        // A band of each in turn: a large picture does not hold up a small one.
        let mut resting = 0;
        while resting < SLICE_PLACES && (out.is_empty() || out.bytes() < bytes) {
            let place = self.turn % SLICE_PLACES;
            self.turn = place + 1;
            resting = if self.send_band(place, &mut out) { 0 } else { resting + 1 };
        }
        (!out.is_empty()).then_some(out)
    }

    /// The viewer says what it holds.
    pub fn confirm(&mut self, place: u8, picture: u32, hash: u64) -> Confirmed {
        let Some(at) = self.places.get_mut(usize::from(place)) else { return Confirmed::Old };
        let At::Sent(sent) = at else { return Confirmed::Old };
        if sent.picture != picture || !sent.is_whole() {
            return Confirmed::Old;
        }
        sent.is_confirmed = sent.slice.image.hash() == hash;
        if sent.is_confirmed {
            return Confirmed::Exact;
        }
        let wrong = sent.wrong + 1;
        if wrong > RESENDS_MAX {
            return Confirmed::Hopeless;
        }
        *at = At::Stale { wrong };
        Confirmed::Wrong
    }

    /// Whether the viewer said that it holds exactly what the board shows there.
    pub fn is_exact(&self, board: &Board, place: u8) -> bool {
        let place = usize::from(place);
        match (self.places.get(place), board.shown(place)) {
            (Some(At::Sent(sent)), Some(shown)) => {
                sent.is_confirmed && Arc::ptr_eq(&sent.slice, &shown.slice)
            }
            _ => false,
        }
    }

    /// The viewer will take nothing for a while: what it was half sent is begun anew later, so
    /// that its memory does not count meanwhile.
    pub fn rest(&mut self) {
        for at in &mut self.places {
            if let At::Sent(sent) = at
                && !sent.is_whole()
            {
                *at = At::Stale { wrong: 0 };
            }
        }
    }

    /// Hides, begins and moves what is to be.
    fn announce(&mut self, place: usize, shown: Option<&Shown>, out: &mut SliceMessages) {
        let number = u8::try_from(place).unwrap_or(u8::MAX);
        let at = std::mem::take(&mut self.places[place]);
        self.places[place] = match (at, shown) {
            (At::Nothing, None) => At::Nothing,
            (At::Stale { .. } | At::Sent(_), None) => {
                out.hide(number);
                At::Nothing
            }
            (At::Nothing, Some(shown)) => self.begin(number, shown, None, out),
            (At::Stale { wrong }, Some(shown)) => {
                out.hide(number);
                let mut begun = self.begin(number, shown, None, out);
                if let At::Sent(sent) = &mut begun {
                    sent.wrong = wrong;
                }
                begun
            }
            (At::Sent(mut sent), Some(shown)) => {
                if Arc::ptr_eq(&sent.slice, &shown.slice) {
                    if sent.at != shown.at {
                        sent.at = shown.at;
                        out.show(number, sent.picture, &sent.slice.image, &sent.at);
                    }
                    At::Sent(sent)
                } else if sent.gives_way() {
                    self.begin(number, shown, Some(sent), out)
                } else {
                    At::Sent(sent)
                }
            }
        };
    }

    fn begin(
        &mut self,
        place: u8,
        shown: &Shown,
        before: Option<Sent>,
        out: &mut SliceMessages,
    ) -> At {
        self.picture = self.picture.wrapping_add(1);
        out.show(place, self.picture, &shown.slice.image, &shown.at);
        let is_patient = before.as_ref().is_some_and(|before| !before.is_whole());
        let before = before.and_then(|sent| {
            let is_whole = sent.is_whole();
            if is_whole { Some(sent.slice) } else { sent.before }
        });
        At::Sent(Sent {
            slice: Arc::clone(&shown.slice),
            at: shown.at,
            picture: self.picture,
            next: 0,
            before,
            is_patient,
            is_confirmed: false,
            wrong: 0,
        })
    }

    fn send_band(&mut self, place: usize, out: &mut SliceMessages) -> bool {
        let At::Sent(sent) = &mut self.places[place] else { return false };
        if sent.is_whole() {
            return false;
        }
        let number = u8::try_from(place).unwrap_or(u8::MAX);
        out.rows(number, sent.picture, &sent.slice.image, sent.next);
        sent.next += 1;
        if sent.is_whole() {
            sent.before = None;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use beamdesk_media::{SliceDecoder, SliceImage, SliceRect, SliceSize};
    use beamdesk_proto::{local::Refusal, wire::Message};
    use bytes::Bytes;

    use super::super::Change;
    use super::*;

    const AT: SlicePlace = SlicePlace {
        rect: SliceRect { x: 0, y: 0, width: 64, height: 64 },
        window: 256.0,
        level: 128.0,
        offset: 0,
    };

    /// Noise that is the same for the same seed: about eight bands of 64 rows.
    fn picture(seed: u32) -> Arc<Slice> {
        let size = SliceSize::new(256, 512).unwrap();
        let mut state = seed;
        let mut values = Vec::new();
        while values.len() < size.bytes() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            values.push(state.to_be_bytes()[0]);
        }
        Arc::new(Slice::uncounted(SliceImage::encode(size, &values).unwrap()))
    }

    /// A viewer that takes in what an outbox gives.
    #[derive(Default)]
    struct Viewer {
        outbox: Outbox,
        decoder: SliceDecoder,
        frame: u32,
        seen: BTreeSet<u64>,
    }

    impl Viewer {
        /// Takes one frame of so many bytes; gives what became whole.
        fn take(&mut self, board: &Board, bytes: usize) -> Vec<(u8, u32, u64)> {
            self.frame += 1;
            let Some(made) = self.outbox.frame(board, self.frame, bytes) else { return Vec::new() };
            let mut out: Vec<Bytes> = Vec::new();
            made.finish(&mut out);
            let mut whole = Vec::new();
            for bytes in out {
                let message = Message::decode(bytes, 1 << 20).unwrap();
                let seen = self.decoder.receive(message.header.flags, &message.payload).unwrap();
                assert_eq!(seen.frame, self.frame);
                whole.extend(seen.whole);
            }
            self.seen.extend(whole.iter().map(|&(_, _, hash)| hash));
            whole
        }

        fn take_all(&mut self, board: &Board) {
            while self.outbox.has_work(board) {
                for (place, picture, hash) in self.take(board, 1) {
                    assert_eq!(self.outbox.confirm(place, picture, hash), Confirmed::Exact);
                }
            }
        }

        fn hash(&self, place: u8) -> Option<u64> {
            assert!(self.decoder.shown(place).is_none() || self.decoder.is_exact(place));
            self.decoder.shown(place).map(|(_, size, values)| {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                SliceImage::encode(size, &bytes).unwrap().hash()
            })
        }
    }

    #[test]
    fn a_viewer_that_comes_later_gets_what_is_on_show() {
        let mut board = Board::default();
        let (one, two) = (picture(1), picture(2));
        board.apply(7, Change::Show(Arc::clone(&one), AT));
        board.apply(8, Change::Show(Arc::clone(&two), AT));
        let mut viewer = Viewer::default();
        viewer.take_all(&board);
        assert_eq!(viewer.hash(0), Some(one.image.hash()));
        assert_eq!(viewer.hash(1), Some(two.image.hash()));
        assert!(viewer.outbox.is_exact(&board, 0));
        assert_eq!(viewer.take(&board, 1000), []);
        board.apply(7, Change::Gone);
        assert!(viewer.outbox.has_work(&board));
        viewer.take_all(&board);
        assert_eq!(viewer.hash(0), None);
        assert_eq!(viewer.hash(1), Some(two.image.hash()));
    }

    #[test]
    fn a_move_sends_no_values() {
        let mut board = Board::default();
        board.apply(7, Change::Show(picture(1), AT));
        let mut viewer = Viewer::default();
        viewer.take_all(&board);
        let (told, mut answer) = tokio::sync::oneshot::channel();
        let rect = Some(SliceRect { x: 99, ..AT.rect });
        board.apply(7, Change::Move { rect, window: None, level: Some(5.0), told });
        assert_eq!(answer.try_recv(), Ok(Ok(())));
        assert_eq!(viewer.take(&board, 1_000_000), []);
        let (at, _, _) = viewer.decoder.shown(0).unwrap();
        assert_eq!((at.rect.x, at.level.to_bits()), (99, 5.0_f64.to_bits()));
        assert!(!viewer.outbox.has_work(&board));
        let (told, mut answer) = tokio::sync::oneshot::channel();
        board.apply(7, Change::Move { rect: None, window: Some(0.0), level: None, told });
        assert_eq!(answer.try_recv(), Ok(Err(Refusal::Bounds)), "no such window");
    }

    #[test]
    fn a_thin_line_sees_whole_pictures_and_ends_with_the_newest() {
        let mut board = Board::default();
        let mut viewer = Viewer::default();
        let mut last = 0;
        // A new picture after each band or two, far more than can be sent.
        for seed in 0..60 {
            let new = picture(seed);
            last = new.image.hash();
            board.apply(7, Change::Show(new, AT));
            viewer.take(&board, 1);
            viewer.take(&board, 1);
        }
        assert!(viewer.seen.len() >= 5, "{} pictures were seen", viewer.seen.len());
        viewer.take_all(&board);
        assert_eq!(viewer.hash(0), Some(last));
    }

    #[test]
    fn wrong_values_are_sent_again_but_not_for_ever() {
        let mut board = Board::default();
        board.apply(7, Change::Show(picture(1), AT));
        let mut viewer = Viewer::default();
        let mut answers = Vec::new();
        while viewer.outbox.has_work(&board) {
            for (place, picture, hash) in viewer.take(&board, 1 << 20) {
                answers.push(viewer.outbox.confirm(place, picture, hash ^ 1));
            }
        }
        use Confirmed::{Hopeless, Wrong};
        assert_eq!(answers, [Wrong, Wrong, Wrong, Hopeless]);
        assert!(!viewer.outbox.is_exact(&board, 0));
        assert_eq!(viewer.outbox.confirm(0, 1, 0), Confirmed::Old);
        assert_eq!(viewer.outbox.confirm(200, 1, 0), Confirmed::Old);
    }

    #[test]
    fn one_that_rests_holds_on_to_nothing_half_sent() {
        let mut board = Board::default();
        let mut viewer = Viewer::default();
        let (one, two) = (picture(1), picture(2));
        board.apply(7, Change::Show(Arc::clone(&one), AT));
        viewer.take_all(&board);
        board.apply(7, Change::Show(Arc::clone(&two), AT));
        viewer.take(&board, 1);
        assert_eq!(Arc::strong_count(&one), 2, "the viewer still shows it");
        viewer.outbox.rest();
        assert_eq!(Arc::strong_count(&one), 1);
        viewer.take_all(&board);
        assert_eq!(viewer.hash(0), Some(two.image.hash()));
    }
}
