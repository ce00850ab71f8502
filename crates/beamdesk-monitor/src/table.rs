//! What cards of a PCI id are: the shipped table, and an administrator's additions to it.

use std::{collections::BTreeMap, fs, path::Path};

use beamdesk_types::{CARDS_MAX, Card};
use serde::Deserialize;

use crate::MonitorError;

const SHIPPED: &str = include_str!("../data/cards.toml");

/// An administrator's file is a page or two.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// As long as a model may be in a request.
const MODEL_CHARS_MAX: usize = 64;
/// The portal takes no more for true.
const MEMORY_MIB_MAX: u64 = 16 << 20;
const CORES_MAX: u32 = 1_000_000;
const BANDWIDTH_GB_S_MAX: u32 = 100_000;
const CLOCK_MHZ_MAX: u32 = 100_000;
const GFLOPS_MAX: u32 = 1_000_000_000;

/// A card as its maker describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// PCI vendor and device, `10de:2230`.
    id: String,
    /// Of the board, where one id stands for several.
    #[serde(default)]
    subsystem: Option<String>,
    pub model: String,
    pub memory_mib: u64,
    pub cores: u32,
    pub bandwidth_gb_s: u32,
    pub clock_mhz: u32,
    pub gflops: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    card: Vec<Figures>,
    #[serde(default)]
    shared: Vec<String>,
    #[serde(default)]
    kept: Vec<String>,
}

/// Figures by PCI id, and which cards are given in shares or not at all.
#[derive(Debug, Clone, Default)]
pub struct CardTable {
    figures: BTreeMap<(String, Option<String>), Figures>,
    shared: Vec<String>,
    kept: Vec<String>,
}

impl CardTable {
    /// The table that comes with the program.
    pub fn shipped() -> Self {
        let mut table = Self::default();
        if let Ok(file) = toml::from_str(SHIPPED) {
            table.add(file);
        }
        table
    }

    /// The shipped table, with a file's lines added and put over it.
    pub fn with_file(path: &Path) -> Result<Self, MonitorError> {
        let trouble = |source| MonitorError::File { path: path.to_owned(), source };
        let wrong = |what: String| MonitorError::CardsContent { path: path.to_owned(), what };
        if fs::metadata(path).map_err(trouble)?.len() > FILE_BYTES_MAX {
            return Err(wrong("more than 1 MiB".to_owned()));
        }
        let text = fs::read_to_string(path).map_err(trouble)?;
        let file: File = toml::from_str(&text).map_err(|source| MonitorError::Cards {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        for figures in &file.card {
            check(figures).map_err(|what| wrong(format!("a card {}: {what}", figures.id)))?;
        }
        let names = file.shared.iter().chain(&file.kept);
        if names.clone().count() > CARDS_MAX {
            return Err(wrong("too many names under `shared` and `kept`".to_owned()));
        }
        if let Some(name) = names.into_iter().find(|name| !is_id(name) && !name.contains('.')) {
            return Err(wrong(format!("{name:?}, which is neither a PCI id nor an address")));
        }
        let mut table = Self::shipped();
        table.add(file);
        Ok(table)
    }

    fn add(&mut self, file: File) {
        for figures in file.card {
            self.figures.insert((figures.id.clone(), figures.subsystem.clone()), figures);
        }
        self.shared.extend(file.shared);
        self.kept.extend(file.kept);
    }

    /// Of a card with this id, and this subsystem where that makes a difference.
    pub fn figures(&self, id: &str, subsystem: Option<&str>) -> Option<&Figures> {
        let of = |subsystem: Option<&str>| {
            self.figures.get(&(id.to_owned(), subsystem.map(str::to_owned)))
        };
        subsystem.and_then(|subsystem| of(Some(subsystem))).or_else(|| of(None))
    }

    /// Whether several desktops get shares of this card.
    pub(crate) fn is_shared(&self, address: &str, id: &str) -> bool {
        self.shared.iter().any(|name| name == address || name == id)
    }

    /// Whether the card is the host's own and for nobody else.
    pub(crate) fn is_kept(&self, address: &str, id: &str) -> bool {
        self.kept.iter().any(|name| name == address || name == id)
    }

    /// How many boards are known.
    pub fn len(&self) -> usize {
        self.figures.len()
    }

    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }
}

impl Figures {
    pub(crate) fn put_into(&self, card: &mut Card) {
        card.model.clone_from(&self.model);
        card.memory_mib = self.memory_mib;
        card.cores = self.cores;
        card.bandwidth_gb_s = self.bandwidth_gb_s;
        card.clock_mhz = self.clock_mhz;
        card.gflops = self.gflops;
    }
}

fn check(figures: &Figures) -> Result<(), &'static str> {
    let ids = [Some(&figures.id), figures.subsystem.as_ref()];
    if !ids.into_iter().flatten().all(|id| is_id(id)) {
        return Err("ids are written like 10de:2230");
    }
    let model = figures.model.trim();
    if model.is_empty()
        || model.chars().count() > MODEL_CHARS_MAX
        || model.contains(|c: char| c.is_control() || c == '|')
    {
        return Err("a model has 1 to 64 characters, none of them `|`");
    }
    if !(1..=MEMORY_MIB_MAX).contains(&figures.memory_mib) {
        return Err("a card has 1 MiB to 16 TiB of memory");
    }
    if figures.cores > CORES_MAX
        || figures.bandwidth_gb_s > BANDWIDTH_GB_S_MAX
        || figures.clock_mhz > CLOCK_MHZ_MAX
        || figures.gflops > GFLOPS_MAX
    {
        return Err("no card has such figures");
    }
    Ok(())
}

/// `10de:2230`, lower case.
fn is_id(text: &str) -> bool {
    let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    let four = |part: &str| part.len() == 4 && part.bytes().all(digit);
    text.split_once(':').is_some_and(|(vendor, device)| four(vendor) && four(device))
}

#[cfg(test)]
mod tests {
    use super::{CardTable, File, SHIPPED, check};

    #[test]
    fn every_shipped_line_is_sound_and_stands_once() {
        let file: File = toml::from_str(SHIPPED).unwrap();
        for figures in &file.card {
            assert_eq!(check(figures), Ok(()), "{figures:?}");
            let peak = u64::from(figures.cores) * u64::from(figures.clock_mhz) * 2 / 1000;
            let said = u64::from(figures.gflops);
            // Two operations a core and clock; AMD counts a pair of them as one core.
            assert!(said * 10 >= peak * 8 && said <= peak * 21 / 10, "{figures:?}: {peak}");
        }
        assert_eq!(CardTable::shipped().len(), file.card.len());
    }

    #[test]
    fn a_board_is_told_from_another_of_the_same_id() {
        let table = CardTable::shipped();
        let model = |subsystem| table.figures("10de:1e30", subsystem).map(|f| f.model.as_str());
        assert_eq!(model(Some("10de:129e")), Some("Quadro RTX 8000"));
        assert_eq!(model(Some("10de:12ba")), Some("Quadro RTX 6000"));
        assert_eq!(model(None), Some("Quadro RTX 6000"));
        assert_eq!(table.figures("10de:ffff", None), None);
    }
}
