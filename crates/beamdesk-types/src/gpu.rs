//! What a desktop asks of graphics cards, and how that is written as metadata.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A whole card, in thousandths.
pub const WHOLE_CARD: u32 = 1000;
/// More than any machine has.
pub const GPUS_MAX: u32 = 64;
const MEMORY_MIB_MAX: u64 = 16 << 20;
const CORES_MAX: u32 = 1_000_000;
const BANDWIDTH_GB_S_MAX: u32 = 100_000;
const MODELS_MAX: usize = 16;
const MODEL_CHARS_MAX: usize = 64;

/// What a desktop needs of graphics cards. Zero cards: none; a number that is zero: any.
///
/// As metadata of a size (OpenStack: extra specs) it has the keys `heps:gpu_num`,
/// `heps:gpu_mem_mib`, `heps:gpu_cores`, `heps:gpu_bandwidth` (GB/s), `heps:gpu_model` (with `|`
/// between) and `heps:gpu_share` (thousandths of one card).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct GpuRequest {
    pub count: u32,
    /// Memory of each card, at least, in MiB. Of a share: what comes with the share.
    pub memory_mib: u64,
    /// CUDA cores or stream processors of each card, at least.
    pub cores: u32,
    /// Memory bandwidth of each card, at least, in GB/s.
    pub bandwidth_gb_s: u32,
    /// One of these; empty: any.
    pub models: Vec<String>,
    /// Of each card, in thousandths: 1000 is a card for oneself. Less only with one card.
    pub share_milli: u32,
}

impl Default for GpuRequest {
    fn default() -> Self {
        Self {
            count: 0,
            memory_mib: 0,
            cores: 0,
            bandwidth_gb_s: 0,
            models: Vec::new(),
            share_milli: WHOLE_CARD,
        }
    }
}

/// A value of a metadata key that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct GpuRequestError {
    /// `heps:gpu_num` and the like.
    pub key: &'static str,
    pub why: &'static str,
}

const NUM: &str = "heps:gpu_num";
const MEM: &str = "heps:gpu_mem_mib";
const CORES: &str = "heps:gpu_cores";
const BANDWIDTH: &str = "heps:gpu_bandwidth";
const MODEL: &str = "heps:gpu_model";
const SHARE: &str = "heps:gpu_share";
const SCOPE: &str = "heps:";

impl GpuRequest {
    /// `count` whole cards of at least so much memory.
    pub fn whole(count: u32, memory_mib: u64) -> Self {
        Self { count, memory_mib, ..Self::default() }
    }

    /// Refuses what no request can be, with the metadata key that is wrong.
    pub fn check(&self) -> Result<(), GpuRequestError> {
        let wrong = |key, why| Err(GpuRequestError { key, why });
        if self.count > GPUS_MAX {
            return wrong(NUM, "is at most 64");
        }
        if self.memory_mib > MEMORY_MIB_MAX {
            return wrong(MEM, "is at most 16 TiB");
        }
        if self.cores > CORES_MAX {
            return wrong(CORES, "is at most 1000000");
        }
        if self.bandwidth_gb_s > BANDWIDTH_GB_S_MAX {
            return wrong(BANDWIDTH, "is at most 100000 GB/s");
        }
        if self.share_milli == 0 || self.share_milli > WHOLE_CARD {
            return wrong(SHARE, "is 1 to 1000 thousandths of a card");
        }
        if self.share_milli < WHOLE_CARD && self.count > 1 {
            return wrong(SHARE, "below 1000 is of one card only");
        }
        let plain = |model: &String| {
            !model.trim().is_empty()
                && model.chars().count() <= MODEL_CHARS_MAX
                && !model.chars().any(|c| c.is_control() || c == '|')
        };
        if self.models.len() > MODELS_MAX || !self.models.iter().all(plain) {
            return wrong(MODEL, "has at most 16 names of at most 64 characters");
        }
        Ok(())
    }

    /// Reads the keys under `heps:`; other keys are none of our business.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Self, GpuRequestError> {
        let mut gpu = Self::default();
        for (key, value) in metadata.iter().filter(|(key, _)| key.starts_with(SCOPE)) {
            let value = value.trim();
            match key.as_str() {
                NUM => gpu.count = number(NUM, value)?,
                MEM => gpu.memory_mib = number(MEM, value)?,
                CORES => gpu.cores = number(CORES, value)?,
                BANDWIDTH => gpu.bandwidth_gb_s = number(BANDWIDTH, value)?,
                SHARE => gpu.share_milli = number(SHARE, value)?,
                MODEL => {
                    gpu.models = value.split('|').map(|model| model.trim().to_owned()).collect();
                }
                _ => return Err(GpuRequestError { key: SCOPE, why: "has a key nobody knows" }),
            }
        }
        gpu.check()?;
        Ok(gpu)
    }

    /// The inverse of [`Self::from_metadata`], without what says nothing.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let mut metadata = BTreeMap::new();
        let mut put = |key: &str, value: String, says: bool| {
            if says {
                metadata.insert(key.to_owned(), value);
            }
        };
        put(NUM, self.count.to_string(), self.count > 0);
        put(MEM, self.memory_mib.to_string(), self.memory_mib > 0);
        put(CORES, self.cores.to_string(), self.cores > 0);
        put(BANDWIDTH, self.bandwidth_gb_s.to_string(), self.bandwidth_gb_s > 0);
        put(MODEL, self.models.join("|"), !self.models.is_empty());
        put(SHARE, self.share_milli.to_string(), self.share_milli < WHOLE_CARD);
        metadata
    }

    /// What satisfies both: the larger of each number, the models both allow. Without a model in
    /// common the error says so.
    pub fn and(&self, other: &Self) -> Result<Self, GpuRequestError> {
        let models = match (self.models.is_empty(), other.models.is_empty()) {
            (true, _) => other.models.clone(),
            (false, true) => self.models.clone(),
            (false, false) => {
                let both = |model: &&String| other.models.contains(model);
                let common: Vec<String> = self.models.iter().filter(both).cloned().collect();
                if common.is_empty() {
                    return Err(GpuRequestError { key: MODEL, why: "no model satisfies all" });
                }
                common
            }
        };
        let count = self.count.max(other.count);
        // Who wants no card says nothing about shares.
        let share = |gpu: &Self| if gpu.count == 0 { 0 } else { gpu.share_milli };
        let share_milli = match share(self).max(share(other)) {
            0 => WHOLE_CARD,
            share if count > 1 => share.max(WHOLE_CARD),
            share => share,
        };
        Ok(Self {
            count,
            memory_mib: self.memory_mib.max(other.memory_mib),
            cores: self.cores.max(other.cores),
            bandwidth_gb_s: self.bandwidth_gb_s.max(other.bandwidth_gb_s),
            models,
            share_milli,
        })
    }
}

fn number<T: std::str::FromStr>(key: &'static str, value: &str) -> Result<T, GpuRequestError> {
    value.parse().map_err(|_| GpuRequestError { key, why: "is not a number that fits" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::GpuRequest;

    fn metadata(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn metadata_is_read_as_it_is_written() {
        let gpu = GpuRequest {
            count: 1,
            memory_mib: 24_576,
            cores: 4000,
            bandwidth_gb_s: 700,
            models: vec!["RTX A6000".to_owned(), "A40".to_owned()],
            share_milli: 500,
        };
        assert_eq!(GpuRequest::from_metadata(&gpu.metadata()), Ok(gpu));
        assert_eq!(GpuRequest::default().metadata(), BTreeMap::new());
    }

    #[test]
    fn a_bad_value_is_refused_with_its_key() {
        for (key, value) in [
            ("heps:gpu_num", "65"),
            ("heps:gpu_num", "-1"),
            ("heps:gpu_num", "1000000000"),
            ("heps:gpu_mem_mib", "much"),
            ("heps:gpu_mem_mib", "99999999999"),
            ("heps:gpu_cores", "1000001"),
            ("heps:gpu_bandwidth", "100001"),
            ("heps:gpu_model", "a||b"),
            ("heps:gpu_share", "0"),
            ("heps:gpu_share", "1001"),
        ] {
            let error = GpuRequest::from_metadata(&metadata(&[(key, value)])).unwrap_err();
            assert_eq!(error.key, key, "{value}");
        }
        let error = metadata(&[("heps:gpu_num", "2"), ("heps:gpu_share", "500")]);
        assert_eq!(GpuRequest::from_metadata(&error).unwrap_err().key, "heps:gpu_share");
        let unknown = metadata(&[("heps:gpu_nmu", "2")]);
        assert_eq!(GpuRequest::from_metadata(&unknown).unwrap_err().key, "heps:");
        assert_eq!(
            GpuRequest::from_metadata(&metadata(&[("hw:cpu_policy", "dedicated")])),
            Ok(GpuRequest::default())
        );
    }

    #[test]
    fn two_demands_are_met_together() {
        let size = GpuRequest { share_milli: 250, ..GpuRequest::whole(1, 8192) };
        let image = GpuRequest { models: vec!["A40".to_owned()], ..GpuRequest::whole(0, 16_384) };
        let both = size.and(&image).unwrap();
        assert_eq!((both.count, both.memory_mib, both.share_milli), (1, 16_384, 250));
        assert_eq!(both.models, ["A40"]);
        let other = GpuRequest { models: vec!["T4".to_owned()], ..GpuRequest::default() };
        assert_eq!(both.and(&other).unwrap_err().key, "heps:gpu_model");
    }
}
