//! Seeded randomness: the same seed gives the same world.

/// `SplitMix64` (Steele, Lea, Flood 2014): small, fast, and good enough for faults.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `per_mille` of 1000 draws.
    pub(super) fn hits(&mut self, per_mille: u16) -> bool {
        self.next() % 1000 < u64::from(per_mille)
    }
}

#[cfg(test)]
mod tests {
    use super::Chance;

    #[test]
    fn a_chance_hits_about_as_often_as_it_says() {
        let mut chance = Chance::new(7);
        let hits = (0..10_000).filter(|_| chance.hits(300)).count();
        assert!((2_800..3_200).contains(&hits), "{hits}");
        assert!(!(0..1000).any(|_| chance.hits(0)));
        assert!((0..1000).all(|_| chance.hits(1000)));
    }
}
