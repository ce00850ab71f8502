//! The pointer's picture, sent beside the frames so that the viewer draws it without delay.

use beamdesk_proto::wire::{HEADER_BYTES, kind};
use bytes::{BufMut, Bytes, BytesMut};

/// Side of the largest pointer picture that is sent; larger ones are cut.
const CURSOR_EDGE_MAX: u16 = 256;

/// The pointer's picture. No pointer is 0×0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CursorImage {
    width: u16,
    height: u16,
    hot_x: u16,
    hot_y: u16,
    rgba: Vec<u8>,
}

impl CursorImage {
    /// From the display's form: 0xAARRGGBB with the colours already multiplied by alpha.
    pub(crate) fn from_premultiplied(
        (width, height): (u16, u16),
        (hot_x, hot_y): (u16, u16),
        pixels: &[u32],
    ) -> Self {
        let shown_width = width.min(CURSOR_EDGE_MAX);
        let shown_height = height.min(CURSOR_EDGE_MAX);
        let mut rgba = Vec::new();
        for row in pixels.chunks_exact(usize::from(width).max(1)).take(shown_height.into()) {
            for &pixel in row.iter().take(shown_width.into()) {
                rgba.extend_from_slice(&straight(pixel));
            }
        }
        if rgba.len() != usize::from(shown_width) * usize::from(shown_height) * 4
            || rgba.chunks_exact(4).all(|pixel| pixel.ends_with(&[0]))
        {
            return Self::default();
        }
        let hot_x = hot_x.min(shown_width.saturating_sub(1));
        let hot_y = hot_y.min(shown_height.saturating_sub(1));
        Self { width: shown_width, height: shown_height, hot_x, hot_y, rgba }
    }

    pub fn width(&self) -> u16 {
        self.width
    }

    pub fn height(&self) -> u16 {
        self.height
    }

    /// The pixel that points.
    pub fn hot(&self) -> (u16, u16) {
        (self.hot_x, self.hot_y)
    }

    /// Not premultiplied.
    pub fn rgba(&self) -> &[u8] {
        &self.rgba
    }

    /// The whole `CURSOR` message, header and all.
    pub fn message(&self) -> Bytes {
        let payload = 8 + self.rgba.len();
        let mut message = BytesMut::with_capacity(HEADER_BYTES + payload);
        message.put_u8(kind::CURSOR);
        message.put_u8(0);
        message.put_u16_le(0);
        message.put_u32_le(u32::try_from(payload).expect("a cursor is small"));
        for number in [self.width, self.height, self.hot_x, self.hot_y] {
            message.put_u16_le(number);
        }
        message.put_slice(&self.rgba);
        message.freeze()
    }
}

/// Undoes the multiplication by alpha, rounding to the nearest.
fn straight(pixel: u32) -> [u8; 4] {
    let [blue, green, red, alpha] = pixel.to_le_bytes();
    let undo = |colour: u8| {
        let full = (u16::from(colour) * 255 + u16::from(alpha) / 2).checked_div(alpha.into());
        u8::try_from(full.unwrap_or(0).min(255)).unwrap_or(255)
    };
    [undo(red), undo(green), undo(blue), alpha]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_given_without_their_alpha() {
        let image = CursorImage::from_premultiplied((2, 1), (1, 0), &[0xff10_2030, 0x8040_0000]);
        assert_eq!(image.rgba(), [0x10, 0x20, 0x30, 0xff, 0x80, 0, 0, 0x80]);
        assert_eq!(image.hot(), (1, 0));
    }

    #[test]
    fn a_pointer_nobody_can_see_is_none() {
        let image = CursorImage::from_premultiplied((2, 2), (0, 0), &[0; 4]);
        assert_eq!(image, CursorImage::default());
        assert_eq!(image.message()[..], [3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_huge_pointer_is_cut() {
        let image = CursorImage::from_premultiplied((300, 2), (299, 1), &[0xffff_ffff; 600]);
        assert_eq!((image.width(), image.height(), image.hot()), (256, 2, (255, 1)));
        assert_eq!(image.rgba().len(), 256 * 2 * 4);
    }
}
