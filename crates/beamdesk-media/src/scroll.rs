//! Finds what was scrolled up or down, and proves it.
//!
//! Rows of a few strips vote for a distance; then every pixel of the rectangle is compared.

use std::collections::HashMap;

use xxhash_rust::xxh64::xxh64;

use crate::geometry::Rect;
use crate::pixels::Pixels;
use crate::update::CopyRect;

/// Width of the strips whose rows are compared.
const STRIP: u16 = 64;
/// Strips that vote; more cost time and seldom say anything else.
const VOTERS_MAX: usize = 6;
/// Rows that must agree on a distance.
const VOTES_MIN: u32 = 8;
/// Pixels that a scroll must spare: a copy is cheap, but so is a plain area.
const GAIN_MIN: usize = 4096;

/// The largest rectangle found within `around` that moved up or down, pixel by pixel.
pub(crate) fn find(before: &Pixels, now: &Pixels, around: Rect) -> Option<CopyRect> {
    let strips = strips(around);
    let distance = vote(before, now, &strips)?;
    let moved = Moved { before, now, around, distance };

    // The tallest run of rows of any strip, made wider as long as it does not get much shorter.
    let runs = moved.longest_runs(&strips);
    let (seed, mut run) =
        runs.iter().copied().enumerate().max_by_key(|(_, run)| run.end - run.start)?;
    let (mut first, mut last) = (seed, seed);
    while let Some(wider) = first.checked_sub(1).and_then(|at| run.with(runs[at])) {
        run = wider;
        first -= 1;
    }
    while let Some(wider) = runs.get(last + 1).and_then(|&other| run.with(other)) {
        run = wider;
        last += 1;
    }
    let mut to = Rect {
        x: strips[first].x,
        y: run.start,
        width: strips[last].x + strips[last].width - strips[first].x,
        height: run.end.checked_sub(run.start)?,
    };
    moved.widen(&mut to);
    moved.is_gain(to).then(|| moved.copy(to))
}

fn strips(around: Rect) -> Vec<Rect> {
    let right = around.x + around.width;
    (around.x..right)
        .step_by(STRIP.into())
        .map(|x| Rect { x, width: STRIP.min(right - x), ..around })
        .collect()
}

/// The distance that most rows agree on; positive is down.
fn vote(before: &Pixels, now: &Pixels, strips: &[Rect]) -> Option<i32> {
    let step = strips.len().div_ceil(VOTERS_MAX).max(1);
    let mut votes = HashMap::<i32, u32>::new();
    for &strip in strips.iter().step_by(step) {
        let old = unique_rows(before, strip);
        for (content, y) in unique_rows(now, strip) {
            let found = old.binary_search_by_key(&content, |&(content, _)| content);
            let distance = found.map_or(0, |at| y - old[at].1);
            if distance != 0 {
                *votes.entry(distance).or_default() += 1;
            }
        }
    }
    let best = votes.into_iter().max_by_key(|&(distance, count)| (count, -distance.abs()));
    best.and_then(|(distance, count)| (count >= VOTES_MIN).then_some(distance))
}

/// Hashes of the rows that are like no other row of the strip, in rising order.
fn unique_rows(pixels: &Pixels, strip: Rect) -> Vec<(u64, i32)> {
    let mut rows: Vec<(u64, i32)> =
        pixels.rows(strip).zip(0..).map(|(row, y)| (xxh64(row, 0), y)).collect();
    rows.sort_unstable();
    let unique = rows.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() == 1);
    unique.flatten().copied().collect()
}

/// Rows `start..end` of the picture.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u16,
    end: u16,
}

impl Run {
    fn length(self) -> u16 {
        self.end - self.start
    }

    /// What both have in common, unless that is much less than this one.
    fn with(self, other: Self) -> Option<Self> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        let common = Self { start, end: end.max(start) };
        (common.length() > 0 && common.length() >= self.length() / 4 * 3).then_some(common)
    }
}

/// A distance under test.
#[derive(Clone, Copy)]
struct Moved<'a> {
    before: &'a Pixels,
    now: &'a Pixels,
    around: Rect,
    distance: i32,
}

impl Moved<'_> {
    /// Whether the row of the picture now is what stood `distance` above it before.
    fn row_matches(&self, strip: Rect, y: u16) -> bool {
        self.origin(y).is_some_and(|from| {
            let at = |y: u16| Rect { y, height: 1, ..strip };
            self.now.row(at(y), 0) == self.before.row(at(from), 0)
        })
    }

    /// The row it came from, within the part of the picture that was looked at.
    fn origin(&self, y: u16) -> Option<u16> {
        let from = u16::try_from(i32::from(y) - self.distance).ok()?;
        (self.around.y..self.around.y + self.around.height).contains(&from).then_some(from)
    }

    /// For each strip; row by row, as the pixels lie in memory.
    fn longest_runs(&self, strips: &[Rect]) -> Vec<Run> {
        let none = Run { start: self.around.y, end: self.around.y };
        let mut starts = vec![self.around.y; strips.len()];
        let mut runs = vec![none; strips.len()];
        for y in self.around.y..self.around.y + self.around.height {
            for ((&strip, start), longest) in strips.iter().zip(&mut starts).zip(&mut runs) {
                if !self.row_matches(strip, y) {
                    *start = y + 1;
                } else if y + 1 - *start > longest.length() {
                    *longest = Run { start: *start, end: y + 1 };
                }
            }
        }
        runs
    }

    /// Takes in the columns to both sides that moved along.
    fn widen(&self, to: &mut Rect) {
        let rows = to.y..to.y + to.height;
        let matches = |x: u16| {
            let column = Rect { x, width: 1, ..self.around };
            rows.clone().all(|y| self.row_matches(column, y))
        };
        while to.x > self.around.x && matches(to.x - 1) {
            to.x -= 1;
            to.width += 1;
        }
        while to.x + to.width < self.around.x + self.around.width && matches(to.x + to.width) {
            to.width += 1;
        }
    }

    /// Whether enough pixels are in rows that would have to be sent without the copy.
    fn is_gain(&self, to: Rect) -> bool {
        let enough = GAIN_MIN.div_ceil(usize::from(to.width).max(1));
        let changed = self.now.rows(to).zip(self.before.rows(to)).filter(|(now, old)| now != old);
        changed.take(enough).count() >= enough
    }

    fn copy(&self, to: Rect) -> CopyRect {
        let from_y = self.origin(to.y).unwrap_or(to.y);
        CopyRect { from_x: to.x, from_y, to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PictureSize;

    /// Text-like rows, each different.
    fn page(lines: u32) -> Pixels {
        let mut pixels = Pixels::black(PictureSize::new(400, 300).unwrap());
        let text = Rect { x: 10, y: 20, width: 350, height: 260 };
        for y in 0..260_u32 {
            for (x, pixel) in
                (0_u32..).zip(pixels.row_mut(text, y.try_into().unwrap()).chunks_exact_mut(4))
            {
                let seed = (y + lines).to_le_bytes();
                let ink = xxh64(&seed, (x / 3).into());
                pixel[..3].fill(if ink.is_multiple_of(2) { 255 } else { 0 });
            }
        }
        pixels
    }

    #[test]
    fn a_scrolled_page_is_found_to_the_pixel() {
        let whole = Rect { x: 0, y: 0, width: 400, height: 300 };
        for distance in [1, 13, 26, 100] {
            let (before, now) = (page(0), page(distance));
            let copy = find(&before, &now, whole).unwrap();
            let distance = u16::try_from(distance).unwrap();
            assert_eq!(copy.from_y, copy.to.y + distance);
            assert!(copy.to.height >= 260 - distance, "{copy:?}");
            assert!(copy.to.width >= 350, "{copy:?}");
            let mut moved = before.clone();
            moved.move_within(copy);
            for y in 0..copy.to.height.into() {
                assert_eq!(moved.row(copy.to, y), now.row(copy.to, y));
            }
            let back = find(&now, &before, whole).unwrap();
            assert_eq!(back.to.y, back.from_y + distance);
        }
    }

    #[test]
    fn unrelated_pages_and_empty_ones_have_no_scroll() {
        let whole = Rect { x: 0, y: 0, width: 400, height: 300 };
        assert_eq!(find(&page(0), &page(5000), whole), None);
        let black = Pixels::black(PictureSize::new(400, 300).unwrap());
        assert_eq!(find(&black, &page(0), whole), None);
        assert_eq!(find(&page(0), &page(0), whole), None);
    }
}
