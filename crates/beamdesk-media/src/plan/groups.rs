//! Tiles that touch each other, as groups: what moves together is judged together.

use crate::geometry::TileGrid;

/// The groups of the tiles that `is_member` picks; neighbours at corners touch too.
pub(super) fn groups(grid: TileGrid, is_member: impl Fn(u16) -> bool) -> Vec<Vec<u16>> {
    groups_of(grid, is_member, |_, _| true)
}

/// The same, but of neighbours only those belong together that `touch`.
pub(super) fn groups_of(
    grid: TileGrid,
    is_member: impl Fn(u16) -> bool,
    touch: impl Fn(u16, u16) -> bool,
) -> Vec<Vec<u16>> {
    let mut waits: Vec<bool> = (0..grid.count()).map(is_member).collect();
    let mut groups = Vec::new();
    for first in 0..grid.count() {
        if !std::mem::take(&mut waits[usize::from(first)]) {
            continue;
        }
        let mut group = vec![first];
        let mut next = 0;
        while let Some(&tile) = group.get(next) {
            next += 1;
            for near in around(grid, tile) {
                let waits = &mut waits[usize::from(near)];
                if *waits && touch(tile, near) {
                    *waits = false;
                    group.push(near);
                }
            }
        }
        groups.push(group);
    }
    groups
}

fn around(grid: TileGrid, tile: u16) -> impl Iterator<Item = u16> {
    let (column, row) = (tile % grid.columns(), tile / grid.columns());
    let columns = column.saturating_sub(1)..=(column + 1).min(grid.columns() - 1);
    let rows = row.saturating_sub(1)..=(row + 1).min(grid.rows() - 1);
    rows.flat_map(move |row| columns.clone().map(move |column| grid.tile(column, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::PictureSize;

    #[test]
    fn groups_are_what_touches() {
        // Four columns, three rows.
        let grid = PictureSize::new(256, 192).unwrap().grid();
        let of = |tiles: &[u16]| groups(grid, |tile| tiles.contains(&tile));
        assert_eq!(of(&[]), Vec::<Vec<u16>>::new());
        assert_eq!(of(&[0, 5, 10]), [[0, 5, 10]], "by the corners");
        assert_eq!(of(&[3, 4]), [[3], [4]], "not around the edge of the picture");
        assert_eq!(of(&[0, 1, 2, 3, 8, 10]), [vec![0, 1, 2, 3], vec![8], vec![10]]);
    }
}
