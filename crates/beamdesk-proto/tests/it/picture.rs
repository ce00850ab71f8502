//! A plain reader of `TILES` bodies, written from docs/protocol.md alone, to check the vectors by.

use beamdesk_proto::wire::{TILE, tile_hash};

/// What a viewer holds.
pub(crate) struct Picture {
    width: usize,
    height: usize,
    rgba: Vec<u8>,
    slots: Vec<Vec<u8>>,
}

impl Picture {
    pub(crate) fn new(width: usize, height: usize, slots: usize) -> Self {
        let rgba = [0, 0, 0, 255].repeat(width * height);
        Self { width, height, rgba, slots: vec![Vec::new(); slots] }
    }

    pub(crate) fn tile_hashes(&self) -> Vec<u64> {
        let tile = usize::from(TILE);
        let tiles = self.width.div_ceil(tile) * self.height.div_ceil(tile);
        (0..tiles).map(|index| tile_hash(&self.tile(index))).collect()
    }

    /// Runs one unpacked body.
    pub(crate) fn draw(&mut self, body: &[u8]) {
        let (ops, mut pixels) = {
            let len: usize = u32::from_le_bytes(body[..4].try_into().unwrap()).try_into().unwrap();
            (&body[4..4 + len], &body[4 + len..])
        };
        let mut ops = Reader(ops);
        while !ops.0.is_empty() {
            match ops.u8() {
                0 => {
                    let area = self.area(&mut ops);
                    let rgb = ops.rgb();
                    self.fill(area, |_, _| rgb);
                }
                1 => {
                    let area = self.area(&mut ops);
                    let n = ops.u8();
                    let colours: Vec<_> = (0..n).map(|_| ops.rgb()).collect();
                    let bits = if n <= 2 {
                        1
                    } else if n <= 4 {
                        2
                    } else {
                        4
                    };
                    let row = (area[2] * bits).div_ceil(8);
                    let (mine, rest) = pixels.split_at(row * area[3]);
                    pixels = rest;
                    self.fill(area, |x, y| {
                        let byte = mine[y * row + x * bits / 8];
                        let shift = 8 - bits - (x * bits) % 8;
                        colours[usize::from(byte >> shift & ((1 << bits) - 1))]
                    });
                }
                2 => {
                    let area = self.area(&mut ops);
                    let plane = plane(&mut pixels, area, ops.u8());
                    self.fill(area, |x, y| [plane[y * area[2] + x]; 3]);
                }
                3 => {
                    let area = self.area(&mut ops);
                    let predictor = ops.u8();
                    let green = plane(&mut pixels, area, predictor);
                    let red = plane(&mut pixels, area, predictor);
                    let blue = plane(&mut pixels, area, predictor);
                    self.fill(area, |x, y| {
                        let at = y * area[2] + x;
                        let g = green[at];
                        [red[at].wrapping_add(g), g, blue[at].wrapping_add(g)]
                    });
                }
                4 => {
                    let [sx, sy, dx, dy, w, h] = [(); 6].map(|()| ops.u16());
                    let before = self.rgba.clone();
                    let width = self.width;
                    self.fill([dx, dy, w, h], |x, y| {
                        let at = ((sy + y) * width + sx + x) * 4;
                        [before[at], before[at + 1], before[at + 2]]
                    });
                }
                5 => {
                    let (tile, slot) = (ops.u16(), ops.u16());
                    self.slots[slot] = self.tile(tile);
                }
                6 => {
                    let (tile, slot) = (ops.u16(), ops.u16());
                    let [x, y, w, h] = self.tile_area(tile);
                    let held = self.slots[slot].clone();
                    assert_eq!(held.len(), w * h * 4, "a slot of the same size");
                    self.fill([x, y, w, h], |x, y| {
                        held[(y * w + x) * 4..][..3].try_into().unwrap()
                    });
                }
                other => panic!("no such op: {other}"),
            }
        }
        assert!(pixels.is_empty(), "all pixels are used");
    }

    fn tile_area(&self, tile: usize) -> [usize; 4] {
        let edge = usize::from(TILE);
        let columns = self.width.div_ceil(edge);
        let (x, y) = (tile % columns * edge, tile / columns * edge);
        [x, y, edge.min(self.width - x), edge.min(self.height - y)]
    }

    fn tile(&self, tile: usize) -> Vec<u8> {
        let [x, y, w, h] = self.tile_area(tile);
        let rows = (y..y + h).flat_map(|y| &self.rgba[(y * self.width + x) * 4..][..w * 4]);
        rows.copied().collect()
    }

    fn area(&self, ops: &mut Reader<'_>) -> [usize; 4] {
        let [left, top, width, height] = self.tile_area(ops.u16());
        let [x, y, w, h] = [ops.u8(), ops.u8(), ops.u8(), ops.u8()].map(usize::from);
        assert!(x + w < width && y + h < height, "the area is within its tile");
        [left + x, top + y, w + 1, h + 1]
    }

    fn fill(&mut self, [left, top, w, h]: [usize; 4], colour: impl Fn(usize, usize) -> [u8; 3]) {
        for y in 0..h {
            for x in 0..w {
                let at = ((top + y) * self.width + left + x) * 4;
                self.rgba[at..at + 3].copy_from_slice(&colour(x, y));
            }
        }
    }
}

fn plane(pixels: &mut &[u8], area: [usize; 4], predictor: u8) -> Vec<u8> {
    let [_, _, w, h] = area;
    let (mut plane, rest) = (pixels[..w * h].to_vec(), &pixels[w * h..]);
    *pixels = rest;
    if predictor == 0 {
        return plane;
    }
    for at in 0..w * h {
        let (x, y) = (at % w, at / w);
        let a = if x > 0 { plane[at - 1] } else { 0 };
        let b = if y > 0 { plane[at - w] } else { 0 };
        let c = if x > 0 && y > 0 { plane[at - w - 1] } else { 0 };
        let guess = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a.wrapping_add(b).wrapping_sub(c)
        };
        plane[at] = plane[at].wrapping_add(guess);
    }
    plane
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn u8(&mut self) -> u8 {
        let byte = self.0[0];
        self.0 = &self.0[1..];
        byte
    }

    fn u16(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.u8(), self.u8()]))
    }

    fn rgb(&mut self) -> [u8; 3] {
        [self.u8(), self.u8(), self.u8()]
    }
}
