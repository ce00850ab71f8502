//! AV1 by libaom: greys, sizes, byte targets, checked with a decoder.
use super::*;
use crate::video::trial::{assert_bytes, assert_ramp, noise, picture, planes};

const WISH: VideoWish = VideoWish { bytes: 20_000, is_key: false };

/// The library's own decoder, for the first plane.
struct Decoder(Box<sys::aom_codec_ctx_t>);

impl Decoder {
    fn new() -> Self {
        let mut context = Box::new(MaybeUninit::<sys::aom_codec_ctx_t>::zeroed());
        // SAFETY: gives the address of a constant.
        let interface = unsafe { sys::aom_codec_av1_dx() };
        // SAFETY: it fills the context.
        let code = unsafe {
            sys::aom_codec_dec_init_ver(
                context.as_mut_ptr(),
                interface,
                null(),
                0,
                sys::AOM_DECODER_ABI_VERSION.cast_signed(),
            )
        };
        ok(code, "decoder").unwrap();
        // SAFETY: filled, as the code says.
        Self(unsafe { context.assume_init() })
    }

    /// Its sides and luma; it must be full range and BT.709.
    fn decode(&mut self, bytes: &[u8]) -> (usize, usize, Vec<u8>) {
        let context = &raw mut *self.0;
        // SAFETY: it reads so many bytes.
        let code =
            unsafe { sys::aom_codec_decode(context, bytes.as_ptr(), bytes.len(), null_mut()) };
        ok(code, "decoding").unwrap();
        let mut at = null();
        // SAFETY: `at` starts as null.
        let image = unsafe { sys::aom_codec_get_frame(context, &raw mut at) };
        // SAFETY: null, or an image that is good until the next call.
        let image = unsafe { image.as_ref() }.expect("a picture for each frame");
        assert_eq!(image.range, sys::AOM_CR_FULL_RANGE);
        assert_eq!(image.cp, sys::AOM_CICP_CP_BT_709);
        assert_eq!(image.tc, sys::AOM_CICP_TC_SRGB);
        assert_eq!(image.mc, sys::AOM_CICP_MC_BT_709);
        let (width, height) = (size(image.d_w), size(image.d_h));
        let stride = size(image.stride[0].cast_unsigned());
        let mut luma = Vec::new();
        for y in 0..height {
            // SAFETY: the picture has this row.
            let row = unsafe { image.planes[0].add(y * stride) };
            // SAFETY: rows are at least as long as the picture is wide.
            luma.extend_from_slice(unsafe { std::slice::from_raw_parts(row, width) });
        }
        (width, height, luma)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: started, and not used again.
        let code = unsafe { sys::aom_codec_destroy(&raw mut *self.0) };
        assert_eq!(code, sys::AOM_CODEC_OK);
    }
}

fn size(of: c_uint) -> usize {
    usize::try_from(of).unwrap()
}

#[test]
fn all_greys_survive_as_far_as_a_viewer_sees() {
    let mut decoder = Decoder::new();
    assert_ramp(
        |width, height| Box::new(Aom::open(width, height).unwrap()),
        |bytes| decoder.decode(bytes).2,
    );
}

#[test]
fn frames_come_near_to_the_bytes_that_are_wished_for() {
    assert_bytes(|width, height| Box::new(Aom::open(width, height).unwrap()));
}

#[test]
fn key_frames_come_first_and_when_asked_for_and_never_else() {
    let mut encoder = Aom::open(640, 480).unwrap();
    for seed in 0..40 {
        // Each picture is another scene.
        let planes = planes(&encoder, &noise(seed));
        let wish = VideoWish { is_key: seed == 20, ..WISH };
        let packet = encoder.encode(&planes, wish).unwrap();
        assert_eq!(packet.is_key, seed % 20 == 0);
    }
}

#[test]
fn odd_and_small_sizes_have_a_frame_that_decodes() {
    for (width, height) in [(64, 64), (65, 71), (1919, 127), (64, 1079)] {
        let mut encoder = Aom::open(width, height).unwrap();
        let shown = picture(width, height, |x, y| {
            [x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap())
        });
        let planes = planes(&encoder, &shown);
        let packet = encoder.encode(&planes, WISH).unwrap();
        let (columns, rows, _) = Decoder::new().decode(&packet.bytes);
        assert_eq!((columns, rows), (even(width), even(height)));
    }
}

#[test]
fn planes_of_another_shape_are_refused() {
    let mut encoder = Aom::open(640, 478).unwrap();
    let planes = planes(&encoder, &noise(1));
    assert!(matches!(encoder.encode(&planes, WISH), Err(VideoError::Failed { .. })));
}

#[test]
fn a_size_beyond_our_screens_is_refused() {
    for (width, height) in [(0, 64), (64, 0), (u16::MAX, 64), (64, SIDE_MAX + 1)] {
        assert!(matches!(Aom::open(width, height), Err(VideoError::Size { .. })));
    }
}
