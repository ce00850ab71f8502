//! The newest picture of a source, with the hash of each tile.

use xxhash_rust::xxh64::Xxh64;

use crate::geometry::PictureSize;
use crate::pixels::Pixels;

/// The newest picture of a source: rows of blue, green, red, 255, and the hash of each tile.
#[derive(Debug, Clone)]
pub struct Picture {
    pixels: Pixels,
    hashes: Vec<u64>,
}

impl Picture {
    pub fn black(size: PictureSize) -> Self {
        let mut picture =
            Self { pixels: Pixels::black(size), hashes: vec![0; size.grid().count().into()] };
        picture.rehash_all();
        picture
    }

    /// From rows of blue, green, red and anything; `None` if the length does not fit the size.
    pub fn from_bgrx(size: PictureSize, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != size.bytes() {
            return None;
        }
        let mut picture = Self::black(size);
        for (to, from) in picture.pixels.pixels_mut().zip(bytes.chunks_exact(4)) {
            to[..3].copy_from_slice(&from[..3]);
        }
        picture.rehash_all();
        Some(picture)
    }

    pub fn size(&self) -> PictureSize {
        self.pixels.size()
    }

    /// Blue, green, red, 255; row by row without gaps.
    pub fn pixels(&self) -> &[u8] {
        self.pixels.bytes()
    }

    pub fn tiles_count(&self) -> u16 {
        self.size().grid().count()
    }

    /// XXH64 of the tile's RGBA bytes, as the viewer computes it.
    pub fn tile_hash(&self, tile: u16) -> u64 {
        self.hashes[usize::from(tile)]
    }

    /// Whether there is no colour in the tile.
    pub fn is_grey(&self, tile: u16) -> bool {
        self.pixels.rows(self.size().grid().rect(tile)).all(|row| {
            let uneven =
                |sum: u8, pixel: &[u8]| sum | (pixel[0] ^ pixel[1]) | (pixel[1] ^ pixel[2]);
            row.chunks_exact(4).fold(0, uneven) == 0
        })
    }

    /// XXH64 over the hashes of all tiles in order.
    pub fn root(&self) -> u64 {
        root(&self.hashes)
    }

    pub(crate) fn raw(&self) -> &Pixels {
        &self.pixels
    }

    /// To be changed in step.
    pub(crate) fn pixels_and_hashes(&mut self) -> (&mut Pixels, &mut [u64]) {
        (&mut self.pixels, &mut self.hashes)
    }

    fn rehash_all(&mut self) {
        let grid = self.size().grid();
        for (tile, hash) in (0..).zip(&mut self.hashes) {
            *hash = self.pixels.hash_swapped(grid.rect(tile));
        }
    }
}

/// XXH64 over the hashes of all tiles in order, each as 8 bytes.
pub(crate) fn root(hashes: &[u64]) -> u64 {
    let mut state = Xxh64::new(0);
    for hash in hashes {
        state.update(&hash.to_le_bytes());
    }
    state.digest()
}
