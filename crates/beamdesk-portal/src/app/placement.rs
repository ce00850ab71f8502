//! How the portal places desktops, as an administrator chose, and what it expects to be asked.

use std::collections::BTreeMap;

use beamdesk_sched::{Guard, Policy, Request, Settings, Shape};
use beamdesk_types::{Actor, Desktop, DesktopId, Phase, Size, SizeId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tracing::warn;
use utoipa::ToSchema;

use crate::{App, PortalError, app::audit};

/// Where it is kept in the database, as JSON.
const SETTING: &str = "placement";
/// Requests of so long ago still tell what will be asked.
const HISTORY: SignedDuration = SignedDuration::from_hours(28 * 24);
/// Rows of one read, and how many reads: more requests than that say nothing new.
const PAGE_ROWS: u32 = 500;
const PAGES_MAX: usize = 20;
/// Fewer requests are no history: then each size is expected as often as any other.
const HISTORY_MIN: usize = 50;
const GUARD_CPUS_MAX: u32 = 1024;
const GUARD_MEMORY_MIB_MAX: u64 = 16 << 20;

/// How the portal places desktops.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlacementSettings {
    /// Name of a policy.
    pub(crate) policy: String,
    /// Of CPU and memory, for policies that weigh them.
    pub(crate) cpu_weight: f64,
    pub(crate) memory_weight: f64,
    pub(crate) guard: Option<GuardSettings>,
    /// Whether people may ask for cards beyond what their size has.
    pub(crate) gpu_additions: bool,
}

/// What desktops without cards must leave beside each free card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GuardSettings {
    pub(crate) vcpus_per_card: u32,
    pub(crate) memory_mib_per_card: u64,
}

impl Default for PlacementSettings {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            policy: settings.policy.name().to_owned(),
            cpu_weight: settings.cpu_weight,
            memory_weight: settings.memory_weight,
            guard: settings.guard.map(|guard| GuardSettings {
                vcpus_per_card: u32::try_from(guard.cpu_milli_per_card / 1000).unwrap_or(0),
                memory_mib_per_card: guard.memory_mib_per_card,
            }),
            gpu_additions: true,
        }
    }
}

impl PlacementSettings {
    /// As the scheduler takes them, still without a workload; refused with the field that is wrong.
    pub(crate) fn settings(&self) -> Result<Settings, PortalError> {
        let invalid = |field, why| Err(PortalError::Invalid { field, why });
        let Ok(policy) = self.policy.parse::<Policy>() else {
            return invalid("policy", "there is no policy of this name");
        };
        let is_weight = |weight: f64| weight.is_finite() && (0.0..=1000.0).contains(&weight);
        if !is_weight(self.cpu_weight) || !is_weight(self.memory_weight) {
            return invalid("cpu_weight, memory_weight", "are 0 to 1000");
        }
        if self.cpu_weight + self.memory_weight <= 0.0 {
            return invalid("cpu_weight, memory_weight", "must not both be 0");
        }
        let is_guard = |guard: &GuardSettings| {
            guard.vcpus_per_card <= GUARD_CPUS_MAX
                && guard.memory_mib_per_card <= GUARD_MEMORY_MIB_MAX
        };
        if !self.guard.as_ref().is_none_or(is_guard) {
            return invalid("guard", "is at most 1024 vCPUs and 16 TiB for each card");
        }
        Ok(Settings {
            policy,
            cpu_weight: self.cpu_weight,
            memory_weight: self.memory_weight,
            workload: Vec::new(),
            guard: self.guard.map(|guard| Guard {
                cpu_milli_per_card: u64::from(guard.vcpus_per_card) * 1000,
                memory_mib_per_card: guard.memory_mib_per_card,
            }),
            seed: 0,
        })
    }
}

/// As an administrator chose, or the defaults.
pub(crate) async fn settings(app: &App) -> Result<PlacementSettings, PortalError> {
    let Some(text) = app.store.setting(SETTING).await? else {
        return Ok(PlacementSettings::default());
    };
    match serde_json::from_str::<PlacementSettings>(&text) {
        // Checked again: a policy may have gone with an update.
        Ok(chosen) if chosen.settings().is_ok() => Ok(chosen),
        Ok(_) | Err(_) => {
            warn!("The stored placement settings are not understood, taking the defaults");
            Ok(PlacementSettings::default())
        }
    }
}

pub(crate) async fn put(
    app: &App,
    actor: &Actor,
    chosen: PlacementSettings,
) -> Result<PlacementSettings, PortalError> {
    chosen.settings()?;
    let text = serde_json::to_string(&chosen).expect("settings are always JSON");
    app.store.put_setting(SETTING, &text).await?;
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "placement_changed", "placement".to_owned(), &chosen.policy).await?;
    Ok(chosen)
}

/// What will be asked, going by what was asked in the last weeks.
pub(crate) async fn expected(
    app: &App,
    sizes: &BTreeMap<SizeId, Size>,
    policy: Policy,
) -> Result<Vec<Shape>, PortalError> {
    let mut asked: Vec<Request> =
        past(app).await?.into_iter().map(|(request, _)| request).collect();
    if asked.len() < HISTORY_MIN {
        asked = sizes.values().filter(|size| size.enabled).map(Request::from).collect();
    }
    Ok(policy.workload(&asked))
}

/// What was asked in the last weeks, oldest first, and for how many seconds it ran or waited where
/// that is over.
pub(crate) async fn past(app: &App) -> Result<Vec<(Request, Option<u64>)>, PortalError> {
    let since = app.clock.now().checked_sub(HISTORY).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut after = Some(first_id(since));
    let mut asked = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = app.store.desktop_history(after, PAGE_ROWS).await?;
        let is_last = page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        after = page.last().map(|past| past.desktop.id);
        asked.extend(page.iter().filter_map(|past| {
            let size = past.size.as_ref()?;
            let gpu = size.gpu.and(&past.desktop.gpu).unwrap_or_else(|_| size.gpu.clone());
            Some((Request { gpu, ..Request::from(size) }, ran_s(&past.desktop)))
        }));
        if is_last {
            break;
        }
    }
    Ok(asked)
}

fn ran_s(desktop: &Desktop) -> Option<u64> {
    let is_over = match desktop.phase {
        Phase::Stopped | Phase::Failed | Phase::Deleting | Phase::Deleted => true,
        Phase::Pending | Phase::Building | Phase::Booting | Phase::Ready | Phase::Stopping => false,
    };
    let ran = desktop.phase_since.duration_since(desktop.queued).as_secs();
    is_over.then(|| u64::try_from(ran).unwrap_or(0))
}

/// Smaller than the id of any desktop made since: ids begin with their time (UUID v7).
fn first_id(since: Timestamp) -> DesktopId {
    let ms = u128::try_from(since.as_millisecond()).unwrap_or(0);
    DesktopId::from_u128(ms << 80)
}

#[cfg(test)]
mod tests {
    use beamdesk_types::{DesktopId, Timestamp};

    use super::{GuardSettings, PlacementSettings, first_id};

    #[test]
    fn the_defaults_are_the_schedulers() {
        let chosen = PlacementSettings::default();
        assert_eq!(chosen.settings().unwrap(), beamdesk_sched::Settings::default());
    }

    #[test]
    fn settings_that_cannot_be_are_refused_with_their_name() {
        let good = PlacementSettings::default();
        let huge = GuardSettings { vcpus_per_card: 4000, memory_mib_per_card: 0 };
        for (bad, field) in [
            (PlacementSettings { policy: "best".to_owned(), ..good.clone() }, "policy"),
            (PlacementSettings { cpu_weight: -1.0, ..good.clone() }, "cpu_weight"),
            (PlacementSettings { memory_weight: f64::NAN, ..good.clone() }, "memory_weight"),
            (
                PlacementSettings { cpu_weight: 0.0, memory_weight: 0.0, ..good.clone() },
                "must not both",
            ),
            (PlacementSettings { guard: Some(huge), ..good.clone() }, "guard"),
        ] {
            let error = bad.settings().unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    #[test]
    fn ids_made_later_are_larger() {
        let long_ago = first_id(Timestamp::from_second(1_000_000_000).unwrap());
        assert!(long_ago < DesktopId::fresh());
        assert!(long_ago.to_string() < DesktopId::fresh().to_string());
    }
}
