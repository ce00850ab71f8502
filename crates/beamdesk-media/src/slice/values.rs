//! 16-bit values and what is left of them after a guess from their neighbours.

/// How a band's values were guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Predictor {
    /// Nothing is guessed: drawings and masks of few values pack better so.
    None,
    /// MED of LOCO-I, with what is outside of the picture taken as 0.
    Med,
}

impl Predictor {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Med => 1,
        }
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Med),
            _ => None,
        }
    }
}

/// Fills `high` and `low` with the bytes of one row's residuals.
pub(super) fn split_row(
    predictor: Predictor,
    above: &[u16],
    row: &[u16],
    high: &mut [u8],
    low: &mut [u8],
) {
    match predictor {
        Predictor::None => {
            for ((value, high), low) in row.iter().zip(high).zip(low) {
                [*low, *high] = value.to_le_bytes();
            }
        }
        Predictor::Med => {
            let (Some(&first), Some(&top)) = (row.first(), above.first()) else { return };
            put(first.wrapping_sub(top), &mut high[0], &mut low[0]);
            let neighbours = row.windows(2).zip(above.windows(2));
            for ((row, above), (high, low)) in
                neighbours.zip(high[1..].iter_mut().zip(&mut low[1..]))
            {
                put(row[1].wrapping_sub(med(row[0], above[1], above[0])), high, low);
            }
        }
    }
}

/// The row whose [`split_row`] gave these bytes.
pub(super) fn join_row(
    predictor: Predictor,
    above: &[u16],
    high: &[u8],
    low: &[u8],
    row: &mut [u16],
) {
    match predictor {
        Predictor::None => {
            for ((value, high), low) in row.iter_mut().zip(high).zip(low) {
                *value = u16::from_le_bytes([*low, *high]);
            }
        }
        Predictor::Med => {
            // Left of the picture everything is 0, which makes MED the value above.
            let (mut left, mut above_left) = (None, 0);
            for (((value, &above), high), low) in row.iter_mut().zip(above).zip(high).zip(low) {
                let guess = left.map_or(above, |left| med(left, above, above_left));
                *value = guess.wrapping_add(unfold(u16::from_le_bytes([*low, *high])));
                (left, above_left) = (Some(*value), above);
            }
        }
    }
}

#[inline]
fn put(residual: u16, high: &mut u8, low: &mut u8) {
    [*low, *high] = fold(residual).to_le_bytes();
}

/// Small differences of either sign become small numbers: the high bytes of a smooth picture are 0.
#[inline]
fn fold(residual: u16) -> u16 {
    let sign = if residual & 0x8000 == 0 { 0 } else { 0xffff };
    (residual << 1) ^ sign
}

#[inline]
fn unfold(folded: u16) -> u16 {
    (folded >> 1) ^ (folded & 1).wrapping_neg()
}

/// Left, above, and above left of the value to guess.
#[inline]
fn med(a: u16, b: u16, c: u16) -> u16 {
    let (low, high) = (a.min(b), a.max(b));
    let slope = a.wrapping_add(b).wrapping_sub(c);
    if c >= high {
        low
    } else if c <= low {
        high
    } else {
        slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_fold_to_small_numbers_and_back() {
        for (residual, folded) in
            [(0, 0), (0xffff, 1), (1, 2), (0xfffe, 3), (0x7fff, 0xfffe), (0x8000, 0xffff)]
        {
            assert_eq!(fold(residual), folded);
        }
        for residual in 0..=u16::MAX {
            assert_eq!(unfold(fold(residual)), residual);
        }
    }

    #[test]
    fn prediction_is_that_of_loco_i_with_zeros_outside() {
        let (mut high, mut low) = ([0; 4], [0; 4]);
        // Guesses: 100, above; max(101, 200); max(300, 400); 398 + 500 − 400.
        split_row(
            Predictor::Med,
            &[100, 200, 400, 500],
            &[101, 300, 398, 404],
            &mut high,
            &mut low,
        );
        let folded = |at: usize| u16::from_le_bytes([low[at], high[at]]);
        assert_eq!(unfold(folded(0)), 1);
        assert_eq!(unfold(folded(1)), 300 - 200);
        assert_eq!(unfold(folded(2)), 398_u16.wrapping_sub(400));
        assert_eq!(unfold(folded(3)), 404_u16.wrapping_sub(498));
    }
}
