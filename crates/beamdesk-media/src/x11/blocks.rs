//! Which rectangles to fetch so that all tiles to look at are there.

use beamdesk_proto::wire::TILE;

use crate::geometry::{Rect, TileGrid};

/// With more requests than this, one for the rectangle around all costs less.
const BLOCKS_MAX: usize = 12;

/// Rectangles of whole tiles, none of which overlap, laid out one after the other in memory.
#[derive(Debug)]
pub(super) struct Blocks {
    grid: TileGrid,
    /// With the place of the first byte of each.
    blocks: Vec<(Rect, usize)>,
    /// For each tile, the number of its block.
    block_of: Vec<Option<usize>>,
}

impl Blocks {
    /// All tiles that any of the rectangles touches, and maybe a few between them.
    pub(super) fn around(grid: TileGrid, drawn: &[Rect]) -> Self {
        let mut wanted = vec![false; grid.count().into()];
        for &rect in drawn {
            grid.touched(rect).for_each(|tile| wanted[usize::from(tile)] = true);
        }
        let mut rects = runs(grid, &wanted);
        if rects.len() > BLOCKS_MAX {
            rects = rects.into_iter().reduce(Rect::union).into_iter().collect();
        }
        let mut this = Self { grid, blocks: Vec::new(), block_of: vec![None; wanted.len()] };
        let mut offset = 0;
        for rect in rects {
            for tile in grid.touched(rect) {
                this.block_of[usize::from(tile)] = Some(this.blocks.len());
            }
            this.blocks.push((rect, offset));
            offset += rect.rows().len() * rect.columns().len() * 4;
        }
        this
    }

    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Each rectangle and where its first byte goes.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Rect, usize)> {
        self.blocks.iter().copied()
    }

    /// In rising order.
    pub(super) fn tiles(&self) -> impl Iterator<Item = u16> {
        let is_here = |tile: &u16| self.block_of[usize::from(*tile)].is_some();
        (0..self.grid.count()).filter(is_here)
    }

    /// Where row `y` of the tile at `rect` starts; the tile must be one of [`Self::tiles`].
    pub(super) fn offset(&self, rect: Rect, y: usize) -> usize {
        let tile = self.grid.tile(rect.x / TILE, rect.y / TILE);
        let block = self.block_of[usize::from(tile)].expect("a tile of some block");
        let (around, offset) = self.blocks[block];
        let row = usize::from(rect.y - around.y) + y;
        offset + (row * usize::from(around.width) + usize::from(rect.x - around.x)) * 4
    }
}

/// Runs of wanted tiles in each row; equal runs of rows that follow each other become one.
fn runs(grid: TileGrid, wanted: &[bool]) -> Vec<Rect> {
    let mut rects: Vec<Rect> = Vec::new();
    for row in 0..grid.rows() {
        let mut run: Option<Rect> = None;
        let mut add = |run: Rect| {
            let above = rects.iter_mut().find(|above| {
                above.y + above.height == run.y && (above.x, above.width) == (run.x, run.width)
            });
            match above {
                Some(above) => above.height += run.height,
                None => rects.push(run),
            }
        };
        for column in 0..grid.columns() {
            let tile = grid.tile(column, row);
            let rect = grid.rect(tile);
            run = match (run, wanted[usize::from(tile)]) {
                (Some(run), true) => Some(run.union(rect)),
                (None, true) => Some(rect),
                (Some(run), false) => {
                    add(run);
                    None
                }
                (None, false) => None,
            };
        }
        run.into_iter().for_each(add);
    }
    rects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PictureSize;

    fn grid() -> TileGrid {
        PictureSize::new(1000, 700).unwrap().grid()
    }

    fn rect(x: u16, y: u16, width: u16, height: u16) -> Rect {
        Rect { x, y, width, height }
    }

    #[test]
    fn a_small_change_fetches_its_tile() {
        let blocks = Blocks::around(grid(), &[rect(70, 70, 7, 13), rect(80, 70, 7, 13)]);
        assert_eq!(blocks.iter().collect::<Vec<_>>(), [(rect(64, 64, 64, 64), 0)]);
        assert_eq!(blocks.tiles().collect::<Vec<_>>(), [17]);
        assert_eq!(blocks.offset(rect(64, 64, 64, 64), 2), 2 * 64 * 4);
    }

    #[test]
    fn the_whole_picture_is_one_block() {
        let whole = rect(0, 0, 1000, 700);
        let blocks = Blocks::around(grid(), &[whole]);
        assert_eq!(blocks.iter().collect::<Vec<_>>(), [(whole, 0)]);
        assert_eq!(blocks.offset(rect(960, 640, 40, 60), 1), (641 * 1000 + 960) * 4);
    }

    #[test]
    fn blocks_do_not_overlap_and_hold_every_tile() {
        let drawn: Vec<Rect> = (0..40)
            .map(|n| rect(n * 37 % 900, n * 91 % 650, n % 7 * 30 + 1, n % 5 * 40 + 1))
            .collect();
        for count in 0..drawn.len() {
            let blocks = Blocks::around(grid(), &drawn[..count]);
            assert!(blocks.iter().count() <= BLOCKS_MAX);
            let mut end = 0;
            for (rect, offset) in blocks.iter() {
                assert_eq!(offset, end);
                end += usize::from(rect.width) * usize::from(rect.height) * 4;
            }
            assert!(end <= 1000 * 700 * 4, "fits the segment");
            for &rect in &drawn[..count] {
                for tile in grid().touched(rect) {
                    assert!(blocks.tiles().any(|other| other == tile));
                }
            }
        }
    }
}
