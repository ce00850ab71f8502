//! Graphics cards of the shipped traces: what openb's FGD simulator and public sheets say of them.

/// Memory that one whole card of an openb task is assumed to need; the trace does not say. A T4
/// has it.
pub(super) const ASSUMED_NEED_MIB: u64 = 15_104;
/// CUDA cores, likewise.
pub(super) const ASSUMED_NEED_CORES: u32 = 2560;

/// What one model of card has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) memory_mib: u64,
    pub(crate) cores: u32,
    pub(crate) bandwidth_gb_s: u32,
    pub(crate) clock_mhz: u32,
    pub(crate) gflops: u32,
}

/// Zeros for a model nobody knows.
pub(crate) fn known(model: &str) -> Known {
    let of = |memory_mib, cores, bandwidth_gb_s, clock_mhz, gflops| Known {
        memory_mib,
        cores,
        bandwidth_gb_s,
        clock_mhz,
        gflops,
    };
    match model {
        "P100" => of(16_280, 3584, 732, 1303, 9300),
        "T4" => of(15_109, 2560, 320, 1590, 8100),
        "V100M16" => of(16_160, 5120, 900, 1530, 15_700),
        "V100M32" => of(32_510, 5120, 900, 1530, 15_700),
        "A10" => of(22_731, 9216, 600, 1695, 31_200),
        // Undisclosed in the trace: memory as its simulator has it, the rest assumed.
        "G1" => of(10_000, 2667, 300, 1500, 8000),
        "G2" => of(20_000, 5000, 600, 1500, 15_000),
        "G3" => of(30_000, 6912, 1200, 1410, 19_500),
        "RTX A6000" => of(49_140, 10_752, 768, 1800, 38_700),
        "RTX A5000" => of(24_564, 8192, 768, 1695, 27_800),
        "A40" => of(46_068, 10_752, 696, 1740, 37_400),
        "L40S" => of(46_068, 18_176, 864, 2520, 91_600),
        _ => Known::default(),
    }
}
