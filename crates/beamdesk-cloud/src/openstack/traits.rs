//! What monitors know of cards, told to Placement, so that Nova and other tools see classes of cards
//! without any part of ours in them.
//!
//! ```text
//! provider of the host          + CUSTOM_GPU_RTX_A6000, CUSTOM_GPU_MEM_GE_48G
//!   provider <host>:beamdesk      the same traits: what of the host's is ours to take back
//!                                 CUSTOM_GPU_CARD: total, and in use as reserved
//! ```
//!
//! A host's own inventory is rewritten by Nova; traits and providers from elsewhere it leaves alone.
//! So the numbers are on a provider of our own.

use std::collections::{BTreeMap, BTreeSet};

use beamdesk_types::{Card, CardState};
use serde::Deserialize;
use serde_json::json;
use tracing::{debug, info};

use super::{ApiError, Microversion, OpenStack, Service};
use crate::{CloudError, HostCards, Published};

/// Whoever else writes a provider raises its generation; more often in a row is no chance.
const TRIES_MAX: usize = 4;
/// What cards are counted as.
const CLASS: &str = "CUSTOM_GPU_CARD";
const TRAIT_PREFIX: &str = "CUSTOM_GPU_";
/// Placement API: 255 characters.
const TRAIT_CHARS_MAX: usize = 255;
/// Classes of memory, GiB: a card is of each that it has.
const MEMORY_CLASSES_GIB: [u64; 12] = [4, 8, 12, 16, 24, 32, 40, 48, 80, 96, 128, 192];
/// Cards have some memory for themselves: 47.5 GiB are sold as 48.
const MEMORY_SLACK_PERCENT: u64 = 95;
/// Providers in a tree are told with their generation since 1.14.
const WITH_TREES: Microversion = Microversion::new(1, 39);

/// Placement API, *List resource providers*.
#[derive(Debug, Clone, Deserialize)]
struct Provider {
    uuid: String,
    name: String,
    #[serde(default)]
    parent_provider_uuid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Providers {
    resource_providers: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
struct Traits {
    traits: BTreeSet<String>,
    resource_provider_generation: i64,
}

#[derive(Debug, Deserialize)]
struct Inventories {
    inventories: BTreeMap<String, Stock>,
    resource_provider_generation: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Stock {
    total: u64,
    #[serde(default)]
    reserved: u64,
}

/// What is said of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    traits: BTreeSet<String>,
    /// `None`: it has no cards.
    stock: Option<Stock>,
}

fn wanted(cards: &[Card]) -> Wanted {
    // A card that is broken, or cut into parts, can be given to nobody.
    let usable =
        || cards.iter().filter(|card| matches!(card.state, CardState::Free | CardState::Assigned));
    let mut traits = BTreeSet::new();
    for card in usable() {
        traits.extend(trait_of(&card.model));
        let has =
            |gib: &&u64| card.memory_mib.saturating_mul(100) >= **gib * 1024 * MEMORY_SLACK_PERCENT;
        let classes = MEMORY_CLASSES_GIB.iter().filter(has);
        traits.extend(classes.map(|gib| format!("{TRAIT_PREFIX}MEM_GE_{gib}G")));
    }
    let count = |cards: usize| u64::try_from(cards).unwrap_or(u64::MAX);
    let total = count(usable().count());
    let held = count(usable().filter(|card| card.state == CardState::Assigned).count());
    Wanted { traits, stock: (total > 0).then_some(Stock { total, reserved: held }) }
}

/// Placement API: custom traits are `CUSTOM_` and `A-Z 0-9 _`. `None`: nothing is left of the name.
fn trait_of(model: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let mut name = String::new();
    for c in model.chars().map(plain) {
        if c != '_' || !(name.is_empty() || name.ends_with('_')) {
            name.push(c);
        }
    }
    let name = name.trim_end_matches('_');
    let whole = format!("{TRAIT_PREFIX}{name}");
    (!name.is_empty() && whole.len() <= TRAIT_CHARS_MAX).then_some(whole)
}

/// The traits a host shall have: its own, without what we said before, with what we say now.
fn joined(
    there: &BTreeSet<String>,
    said_before: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
) -> BTreeSet<String> {
    let others = there.iter().filter(|name| !said_before.contains(*name));
    others.chain(wanted).cloned().collect()
}

impl OpenStack {
    /// Makes Placement say of these hosts' cards what their monitors say.
    pub(super) async fn publish_cards(&self, hosts: &[HostCards]) -> Result<Published, CloudError> {
        let mut published = Published::default();
        let refused = |error: ApiError, published: Published| match error.status() {
            Some(403) => Ok(Published { refused: Some(error.to_string()), ..published }),
            Some(_) | None => Err(CloudError::from(error)),
        };
        if let Err(error) = self.publish_metadefs().await {
            published = refused(error, published)?;
        }
        let providers = match self.providers().await {
            Ok(providers) => providers,
            Err(error) => return refused(error, published),
        };
        for host in hosts {
            let name = host.node.as_str();
            let Some(root) = providers.iter().find(|provider| is_host(provider, name)) else {
                published.unknown.push(host.node.clone());
                continue;
            };
            match self.publish_host(root, &providers, &wanted(&host.cards)).await {
                Ok(true) => {
                    info!(node.name = %host.node, "Told Placement of a host's cards");
                    published.changed += 1;
                }
                Ok(false) => {}
                // Somebody else writes it just now; the next time will do.
                Err(error) if error.is_conflict() => {
                    debug!(node.name = %host.node, %error, "Placement was not told of a host's cards");
                }
                Err(error) => return refused(error, published),
            }
        }
        Ok(published)
    }

    async fn providers(&self) -> Result<Vec<Provider>, ApiError> {
        let call = self.client().get(Service::Placement, "/resource_providers");
        Ok(call.version(WITH_TREES).send::<Providers>().await?.resource_providers)
    }

    /// Says whether anything was to be changed.
    async fn publish_host(
        &self,
        root: &Provider,
        all: &[Provider],
        wanted: &Wanted,
    ) -> Result<bool, ApiError> {
        let name = own_name(root);
        let own = match all.iter().find(|provider| provider.name == name) {
            Some(own) => own.clone(),
            None if wanted.stock.is_none() => return Ok(false),
            None => self.make_provider(root, &name).await?,
        };
        let before = self.traits(&own.uuid).await?.traits;
        let mut is_changed = false;
        if before != wanted.traits {
            for name in &wanted.traits {
                let path = format!("/traits/{name}");
                self.client().put(Service::Placement, path).done().await?;
            }
            // Ours first, and no less than before: what is on the host is always ours to take back.
            let both: BTreeSet<String> = before.union(&wanted.traits).cloned().collect();
            self.set_traits(&own.uuid, |_| both.clone()).await?;
        }
        is_changed |=
            self.set_traits(&root.uuid, |there| joined(there, &before, &wanted.traits)).await?;
        is_changed |= self.set_traits(&own.uuid, |_| wanted.traits.clone()).await?;
        is_changed |= self.set_stock(&own.uuid, wanted.stock).await?;
        Ok(is_changed)
    }

    async fn make_provider(&self, root: &Provider, name: &str) -> Result<Provider, ApiError> {
        let body = json!({ "name": name, "parent_provider_uuid": root.uuid });
        let call = self.client().post(Service::Placement, "/resource_providers");
        call.version(WITH_TREES).json(&body).send().await
    }

    async fn traits(&self, provider: &str) -> Result<Traits, ApiError> {
        let path = format!("/resource_providers/{provider}/traits");
        self.client().get(Service::Placement, path).version(WITH_TREES).send().await
    }

    async fn set_traits(
        &self,
        provider: &str,
        wanted: impl Fn(&BTreeSet<String>) -> BTreeSet<String>,
    ) -> Result<bool, ApiError> {
        let path = format!("/resource_providers/{provider}/traits");
        let mut tries = 0;
        loop {
            let there = self.traits(provider).await?;
            let wanted = wanted(&there.traits);
            if wanted == there.traits {
                return Ok(false);
            }
            let body = json!({
                "traits": wanted,
                "resource_provider_generation": there.resource_provider_generation,
            });
            let call = self.client().put(Service::Placement, path.as_str()).version(WITH_TREES);
            tries += 1;
            match call.json(&body).done().await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_conflict() && tries < TRIES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn set_stock(&self, provider: &str, stock: Option<Stock>) -> Result<bool, ApiError> {
        let path = format!("/resource_providers/{provider}/inventories");
        let mut tries = 0;
        loop {
            let call = self.client().get(Service::Placement, path.as_str()).version(WITH_TREES);
            let there: Inventories = call.send().await?;
            if there.inventories.get(CLASS).copied() == stock {
                return Ok(false);
            }
            let class = format!("/resource_classes/{CLASS}");
            self.client().put(Service::Placement, class).done().await?;
            let stock = stock.map(|Stock { total, reserved }| {
                // Nova must not give away by itself what is not accounted here.
                (CLASS, json!({ "total": total, "reserved": reserved }))
            });
            let body = json!({
                "inventories": stock.into_iter().collect::<BTreeMap<_, _>>(),
                "resource_provider_generation": there.resource_provider_generation,
            });
            let call = self.client().put(Service::Placement, path.as_str()).version(WITH_TREES);
            tries += 1;
            match call.json(&body).done().await {
                Ok(()) => return Ok(true),
                Err(error) if error.is_conflict() && tries < TRIES_MAX => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Nova calls a host's provider by its full name; a node is called as its service, or the host.
fn is_host(provider: &Provider, node: &str) -> bool {
    let name = provider.name.to_ascii_lowercase();
    let is_root = provider.parent_provider_uuid.is_none();
    is_root && (name == node || name.split('.').next() == Some(node))
}

fn own_name(root: &Provider) -> String {
    format!("{}:beamdesk", root.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use beamdesk_types::{Card, CardState, Partitioning};

    use super::{Provider, Stock, is_host, joined, trait_of, wanted};
    use crate::sim::Sim;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn cards(states: &[CardState]) -> Vec<Card> {
        let count = u8::try_from(states.len()).unwrap();
        let mut cards = Sim::equal_cards(count, "RTX A6000", 49_140, &Partitioning::Whole);
        cards.iter_mut().zip(states).for_each(|(card, state)| card.state = *state);
        cards
    }

    #[test]
    fn a_card_is_of_each_class_of_memory_that_it_has() {
        let told = wanted(&cards(&[CardState::Free, CardState::Assigned, CardState::Faulty]));
        assert_eq!(told.stock, Some(Stock { total: 2, reserved: 1 }));
        assert!(told.traits.contains("CUSTOM_GPU_RTX_A6000"));
        assert!(told.traits.contains("CUSTOM_GPU_MEM_GE_48G"), "47.99 GiB are sold as 48");
        assert!(!told.traits.contains("CUSTOM_GPU_MEM_GE_80G"));
        assert_eq!(told.traits.len(), 9);
        let none = wanted(&cards(&[CardState::Faulty]));
        assert_eq!((none.stock, none.traits.len()), (None, 0));
    }

    #[test]
    fn a_trait_has_plain_letters_only() {
        for (model, name) in [
            ("RTX A6000", Some("CUSTOM_GPU_RTX_A6000")),
            ("10de:1eb8", Some("CUSTOM_GPU_10DE_1EB8")),
            ("  Tesla—T4 (16 GB) ", Some("CUSTOM_GPU_TESLA_T4_16_GB")),
            ("显卡", None),
            ("", None),
        ] {
            assert_eq!(trait_of(model).as_deref(), name, "{model}");
        }
        assert_eq!(trait_of(&"x".repeat(300)), None);
    }

    #[test]
    fn what_others_said_of_a_host_stays() {
        let there = set(&["HW_CPU_X86_AVX", "CUSTOM_GPU_T4", "CUSTOM_GPU_OURS_BEFORE"]);
        let before = set(&["CUSTOM_GPU_OURS_BEFORE"]);
        let now = joined(&there, &before, &set(&["CUSTOM_GPU_A40"]));
        assert_eq!(now, set(&["HW_CPU_X86_AVX", "CUSTOM_GPU_T4", "CUSTOM_GPU_A40"]));
    }

    #[test]
    fn a_host_is_known_by_its_full_or_its_short_name() {
        let provider = |name: &str, parent: Option<&str>| Provider {
            uuid: "u".to_owned(),
            name: name.to_owned(),
            parent_provider_uuid: parent.map(str::to_owned),
        };
        assert!(is_host(&provider("c1", None), "c1"));
        assert!(is_host(&provider("C1.example.org", None), "c1"));
        assert!(is_host(&provider("c1.example.org", None), "c1.example.org"));
        assert!(!is_host(&provider("c10", None), "c1"));
        assert!(!is_host(&provider("c1", Some("u")), "c1"), "a card of a host is no host");
    }
}
