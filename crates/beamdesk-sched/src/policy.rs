//! The rules by which one of the hosts that fit is chosen.

mod baseline;
mod cards;
mod chance;
mod expected;
mod fgd;
pub mod formula;
mod outlook;
mod paper;
mod similar;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub(crate) use baseline::nova_weights;
pub(crate) use expected::{Expectation, Reserve};
pub(crate) use outlook::Outlook;

use crate::{Host, Request, Shape, place::whole_workload, workload};

/// How hosts that fit are ranked. The filter is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    Random,
    NovaRam,
    Nova,
    Spread,
    BestFit,
    DotProduct,
    GpuPacking,
    Paper,
    PaperMib,
    Fit,
    Fgd,
    FgdBf,
    ExpectedFill,
}

impl Policy {
    pub const ALL: [Self; 13] = [
        Self::Random,
        Self::NovaRam,
        Self::Nova,
        Self::Spread,
        Self::BestFit,
        Self::DotProduct,
        Self::GpuPacking,
        Self::Paper,
        Self::PaperMib,
        Self::Fit,
        Self::Fgd,
        Self::FgdBf,
        Self::ExpectedFill,
    ];

    /// As it is written in settings, on the command line and in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::NovaRam => "nova_ram",
            Self::Nova => "nova",
            Self::Spread => "spread",
            Self::BestFit => "best_fit",
            Self::DotProduct => "dot_product",
            Self::GpuPacking => "gpu_packing",
            Self::Paper => "paper",
            Self::PaperMib => "paper_mib",
            Self::Fit => "fit",
            Self::Fgd => "fgd",
            Self::FgdBf => "fgd_bf",
            Self::ExpectedFill => "expected_fill",
        }
    }

    /// One line for people.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Random => "any host that fits, by seeded chance",
            Self::NovaRam => "OpenStack Nova's RAM weigher alone: the most free memory",
            Self::Nova => "OpenStack Nova's RAM, CPU and PCI weighers",
            Self::Spread => "the host of which the least is used",
            Self::BestFit => "the host with the least CPU and card shares left",
            Self::DotProduct => "the least product of what is asked and what is free",
            Self::GpuPacking => "cards in use first, then hosts in use, then idle hosts",
            Self::Paper => "the paper's equations 1 to 4, in cards, GiB, cores and vCPUs",
            Self::PaperMib => "the paper's equations in MiB: shows that they depend on units",
            Self::Fit => "the host whose free room is most like the request, in size too",
            Self::Fgd => "the least growth of card shares that nobody can use; the smallest name",
            Self::FgdBf => {
                "the least growth of card shares that nobody can use; the fullest such host"
            }
            Self::ExpectedFill => {
                "the least loss of what usual requests would still fill; the fullest such host"
            }
        }
    }

    /// The paper's policies take a host with cards for a desktop without one whenever no other
    /// fits: no guard.
    pub(crate) fn has_guard(self) -> bool {
        !matches!(self, Self::Paper | Self::PaperMib)
    }

    /// Whether desktops without cards go to hosts without cards as long as one fits (the paper's
    /// `PriorityScore`). The others are kept as they are known, to be compared with.
    pub(crate) fn is_tiered(self) -> bool {
        match self {
            Self::Paper | Self::PaperMib | Self::Fit | Self::FgdBf | Self::ExpectedFill => true,
            Self::Random
            | Self::NovaRam
            | Self::Nova
            | Self::Spread
            | Self::BestFit
            | Self::DotProduct
            | Self::GpuPacking
            | Self::Fgd => false,
        }
    }

    /// Whether equal scores go to the smallest name at once, as in the repository from which the
    /// published figures are: they depend on it.
    pub(crate) fn is_tied_by_name(self) -> bool {
        matches!(self, Self::Fgd | Self::DotProduct)
    }

    /// What it should know of what was asked before: [`Settings::workload`](crate::Settings).
    pub fn workload<'a>(self, asked: impl IntoIterator<Item = &'a Request>) -> Vec<Shape> {
        if self == Self::ExpectedFill { whole_workload(asked) } else { workload(asked) }
    }

    /// Whether a host's score says nothing by itself: it depends on which others fit, or on
    /// chance. Such scores cannot be kept from one decision to the next.
    pub(crate) fn is_relative(self) -> bool {
        matches!(self, Self::Nova | Self::Random)
    }

    /// How good the host is for a request that fits it, and with which cards.
    pub(crate) fn best(self, outlook: &Outlook, request: &Request, host: &Host) -> Best {
        match self {
            Self::Random => chance::best(outlook, request, host),
            Self::NovaRam => baseline::most_memory(request, host),
            // Made of the three weights of all hosts that fit: see `nova_weights`.
            Self::Nova => Best { score: 0.0, cards: cards::packed(request, host) },
            Self::Spread => baseline::least_requested(request, host),
            Self::BestFit => baseline::best_fit(outlook, request, host),
            Self::DotProduct => baseline::dot_product(outlook, request, host),
            Self::GpuPacking => baseline::gpu_packing(request, host),
            Self::Paper => paper::best(outlook, &paper::GIB, request, host),
            Self::PaperMib => paper::best(outlook, &paper::MIB, request, host),
            Self::Fit => similar::best(outlook, request, host),
            Self::Fgd => fgd::best(outlook, request, host, fgd::Ties::Repository),
            Self::FgdBf => fgd::best(outlook, request, host, fgd::Ties::BestFit),
            Self::ExpectedFill => expected::best(outlook, request, host),
        }
    }
}

/// A host's score, higher is better, and the cards that go with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Best {
    pub(crate) score: f64,
    pub(crate) cards: Vec<usize>,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no policy has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no policy has this name; there are: {}", Policy::ALL.map(Policy::name).join(", "))]
pub struct UnknownPolicy;

impl FromStr for Policy {
    type Err = UnknownPolicy;
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(UnknownPolicy)
    }
}
