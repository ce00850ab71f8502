//! Which fault meets which request: told by seed and number alone, so that a run can be had again.

use std::time::Duration;

/// What is done to a request. *After*: when the service has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Delay(Duration),
    ResetBefore,
    ResetAfter,
    /// The answer is dropped, and the connection closed.
    CutAfter,
    /// The half of the answer's body, and the end.
    HalfAfter,
    /// 200 and something that is not JSON.
    GarbageAfter,
    /// 500 and 503 lie as often as not: the service may have done it.
    Status500Before,
    Status500After,
    Status503Before,
    Status503After,
    /// These are told before anything is done, as by real services.
    Status409Before,
    Status429Before,
}

/// Long enough to overtake other calls, short enough to stay below time limits.
const DELAY_MAX_MS: u64 = 3000;

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::CutAfter => "cut_after",
            Self::HalfAfter => "half_after",
            Self::GarbageAfter => "garbage_after",
            Self::Status500Before => "500_before",
            Self::Status500After => "500_after",
            Self::Status503Before => "503_before",
            Self::Status503After => "503_after",
            Self::Status409Before => "409_before",
            Self::Status429Before => "429_before",
        }
    }
}

/// The fault of request `number`, where `rate_milli` of a thousand have one.
pub(crate) fn fault(seed: u64, number: u64, rate_milli: u64) -> Option<Fault> {
    let chance = mix(seed ^ mix(number));
    if chance % 1000 >= rate_milli {
        return None;
    }
    let kind = mix(chance);
    Some(match kind % 12 {
        0 => Fault::Delay(Duration::from_millis(50 + mix(kind) % DELAY_MAX_MS)),
        1 => Fault::ResetBefore,
        2 => Fault::ResetAfter,
        3 => Fault::CutAfter,
        4 => Fault::HalfAfter,
        5 => Fault::GarbageAfter,
        6 => Fault::Status500Before,
        7 => Fault::Status500After,
        8 => Fault::Status503Before,
        9 => Fault::Status503After,
        10 => Fault::Status409Before,
        _ => Fault::Status429Before,
    })
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::fault;

    #[test]
    fn every_fault_comes_as_often_as_asked_for_and_the_same_in_each_run() {
        let mut counts = BTreeMap::new();
        for number in 0..24_000 {
            assert_eq!(fault(7, number, 500), fault(7, number, 500));
            if let Some(fault) = fault(7, number, 500) {
                *counts.entry(fault.name()).or_insert(0) += 1;
            }
        }
        assert_eq!(counts.len(), 12);
        assert!(counts.values().all(|count| (850..1150).contains(count)), "{counts:?}");
        assert_eq!((0..1000).find_map(|number| fault(7, number, 0)), None);
        assert!((0..1000).all(|number| fault(7, number, 1000).is_some()));
        assert!((0..1000).any(|number| fault(7, number, 500) != fault(8, number, 500)));
    }
}
