//! Cuts a scroll where it would move what the viewer does not hold.

use beamdesk_proto::wire::TILE;

use crate::geometry::{Rect, TileGrid};
use crate::update::CopyRect;

/// A band of a scroll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It leads from and to what is known.
    Moved(CopyRect),
    /// Here it must be sent anew.
    Lost(Rect),
}

/// The scroll in bands, in an order in which none spoils what a later one reads.
pub(super) fn parts(grid: TileGrid, copy: CopyRect, is_known: impl Fn(u16) -> bool) -> Vec<Part> {
    let is_whole =
        |part: CopyRect| grid.touched(part.from()).chain(grid.touched(part.to)).all(&is_known);
    if is_whole(copy) {
        return vec![Part::Moved(copy)];
    }
    let mut bands: Vec<(bool, CopyRect)> = Vec::new();
    let mut done = 0;
    while done < copy.to.height {
        // Up to the next edge of a tile, above or below.
        let to_edge = |y: u16| TILE - y % TILE;
        let height =
            to_edge(copy.to.y + done).min(to_edge(copy.from_y + done)).min(copy.to.height - done);
        let to = Rect { y: copy.to.y + done, height, ..copy.to };
        let band = CopyRect { from_y: copy.from_y + done, to, ..copy };
        let is_good = is_whole(band);
        match bands.last_mut() {
            Some((was_good, last)) if *was_good == is_good => last.to.height += height,
            Some(_) | None => bands.push((is_good, band)),
        }
        done += height;
    }
    if copy.from_y < copy.to.y {
        bands.reverse();
    }
    let part = |(is_good, band): (bool, CopyRect)| {
        if is_good { Part::Moved(band) } else { Part::Lost(band.to) }
    };
    bands.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PictureSize;

    fn scroll(from_y: u16, y: u16, height: u16) -> CopyRect {
        CopyRect { from_x: 0, from_y, to: Rect { x: 0, y, width: 256, height } }
    }

    #[test]
    fn a_scroll_of_what_is_known_stays_whole() {
        let grid = PictureSize::new(256, 640).unwrap().grid();
        let copy = scroll(20, 0, 600);
        assert_eq!(parts(grid, copy, |_| true), [Part::Moved(copy)]);
    }

    #[test]
    fn bands_that_touch_the_unknown_are_left_out_and_none_reads_what_another_wrote() {
        let grid = PictureSize::new(256, 640).unwrap().grid();
        // One tile of the fourth row of tiles is unknown: rows 192 to 255.
        let is_known = |tile: u16| tile != 13;
        for copy in [scroll(20, 0, 600), scroll(0, 20, 600), scroll(300, 0, 300)] {
            let mut written = Vec::new();
            let mut rows = 0;
            for part in parts(grid, copy, is_known) {
                let to = match part {
                    Part::Lost(to) => to,
                    Part::Moved(band) => {
                        for y in band.from().rows() {
                            assert!(!(192..256).contains(&y), "row {y} is read");
                            assert!(!written.contains(&y), "row {y} is read after it was written");
                        }
                        assert!(band.to.rows().all(|y| !(192..256).contains(&y)));
                        written.extend(band.to.rows());
                        band.to
                    }
                };
                rows += to.height;
            }
            assert_eq!(rows, copy.to.height, "every row is in one part");
            assert!(written.len() > 100, "{}", written.len());
        }
    }
}
