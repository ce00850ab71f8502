//! Flavors: what Nova calls our sizes, and whether they are what the sizes say.

use std::collections::BTreeMap;

use beamdesk_types::{Drift, Size, WHOLE_CARD};
use serde::Deserialize;
use serde_json::json;
use tracing::{info, warn};

use super::{ApiError, OpenStack, OpenStackConfig, Service};
use crate::{CloudError, ServerSpec};

/// Compute API, *List Flavors With Details*; extra specs since 2.61.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NovaFlavor {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) vcpus: u64,
    pub(super) ram: u64,
    pub(super) disk: u64,
    /// Left out where we may not read them.
    #[serde(default)]
    pub(super) extra_specs: BTreeMap<String, String>,
}

/// What the flavor of a size shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
    pub(super) disk_gib: u64,
    pub(super) extra_specs: BTreeMap<String, String>,
}

/// Nova counts so far; no host has more.
const NOVA_INT_MAX: u64 = 0x7fff_ffff;
/// The only key of others that we write and judge: which cards, by a name of Nova's configuration.
const PCI_ALIAS: &str = "pci_passthrough:alias";
const OUR_SCOPE: &str = "heps:";
/// In [`OpenStackConfig::pci_aliases`]: cards of any model.
const ANY_MODEL: &str = "*";

/// What a flavor must be for a size; with other cards than the size has, it is one of its own.
pub(super) fn wanted(config: &OpenStackConfig, size: &Size, cards: Option<u32>) -> Wanted {
    let mut gpu = size.gpu.clone();
    let mut name = format!("beamdesk-{}", size.id);
    if let Some(cards) = cards.filter(|cards| *cards != gpu.count) {
        gpu.count = cards;
        name = format!("{name}-g{cards}");
    }
    let mut extra_specs = config.extra_specs.clone();
    extra_specs.extend(gpu.metadata());
    if gpu.count > 0 && gpu.share_milli == WHOLE_CARD {
        let named = gpu.models.iter().find_map(|model| config.pci_aliases.get(model));
        let alias = named.or_else(|| config.pci_aliases.get(ANY_MODEL));
        let alias = alias.map(|alias| (PCI_ALIAS.to_owned(), format!("{alias}:{}", gpu.count)));
        extra_specs.extend(alias);
    }
    let (vcpus, memory_mib, disk_gib) = (size.vcpus, size.memory_mib, size.disk_gib);
    Wanted { name, vcpus, memory_mib, disk_gib, extra_specs }
}

/// What of a flavor is otherwise. Keys of others that we don't ask for are their own business.
pub(super) fn drift(wanted: &Wanted, found: &NovaFlavor) -> Vec<Drift> {
    let numbers = [
        ("vcpus", u64::from(wanted.vcpus), found.vcpus),
        ("ram", wanted.memory_mib, found.ram),
        ("disk", wanted.disk_gib, found.disk),
    ];
    let differs = |(what, wanted, found): (&str, u64, u64)| {
        let drift =
            Drift { what: what.to_owned(), wanted: wanted.to_string(), found: found.to_string() };
        (wanted != found).then_some(drift)
    };
    let mut all: Vec<Drift> = numbers.into_iter().filter_map(differs).collect();
    for (key, value) in &wanted.extra_specs {
        let there = found.extra_specs.get(key);
        if there != Some(value) {
            let (wanted, found) = (value.clone(), there.cloned().unwrap_or_default());
            all.push(Drift { what: key.clone(), wanted, found });
        }
    }
    for (key, value) in &found.extra_specs {
        let is_ours = key.starts_with(OUR_SCOPE) || key == PCI_ALIAS;
        if is_ours && !wanted.extra_specs.contains_key(key) {
            let found = value.clone();
            all.push(Drift { what: key.clone(), wanted: String::new(), found });
        }
    }
    all
}

/// In one line, for a person.
fn in_words(drift: &[Drift]) -> String {
    let one = |drift: &Drift| {
        let Drift { what, wanted, found } = drift;
        let say = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        format!("{what} is {} and should be {}", say(found), say(wanted))
    };
    drift.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Whether all of it is keys that are missing: those can be added and nobody loses anything.
fn is_only_missing(drift: &[Drift]) -> bool {
    drift.iter().all(|drift| drift.found.is_empty() && drift.what.contains(':'))
}

impl OpenStack {
    /// Id of the flavor for what is to be made. One that is missing is made, where we may; else
    /// one with the same content does.
    pub(super) async fn flavor_for(&self, spec: &ServerSpec) -> Result<String, CloudError> {
        let cards = u32::try_from(spec.cards.len()).unwrap_or(u32::MAX);
        let too_few = cards < spec.size.gpu.count;
        let numbers = [u64::from(spec.size.vcpus), spec.size.memory_mib, spec.size.disk_gib];
        if too_few || numbers.iter().any(|number| *number > NOVA_INT_MAX) {
            return Err(CloudError::no_capacity());
        }
        let wanted = wanted(self.config(), &spec.size, Some(cards));
        self.ensure(&wanted).await
    }

    /// Makes the flavor of a size what it shall be. Servers keep what they were made with.
    pub(super) async fn mend_flavor(&self, size: &Size) -> Result<(), CloudError> {
        let wanted = wanted(self.config(), size, None);
        let all = self.flavors().await?;
        let Some(found) = all.iter().find(|flavor| flavor.name == wanted.name) else {
            self.make_flavor(&wanted).await?;
            return Ok(());
        };
        let drift = drift(&wanted, found);
        if drift.iter().all(|drift| drift.what.contains(':')) {
            for gone in drift.iter().filter(|drift| drift.wanted.is_empty()) {
                let path = format!("/flavors/{}/os-extra_specs/{}", found.id, gone.what);
                self.client().delete(Service::Compute, &path).gone().await?;
            }
            self.add_specs(&found.id, &wanted).await?;
        } else {
            // Numbers of a flavor never change; another takes its name.
            let path = format!("/flavors/{}", found.id);
            self.client().delete(Service::Compute, &path).gone().await?;
            self.make_flavor(&wanted).await?;
        }
        info!(flavor.name = %wanted.name, "Mended the flavor: {}", in_words(&drift));
        Ok(())
    }

    /// All that we may use.
    pub(super) async fn flavors(&self) -> Result<Vec<NovaFlavor>, ApiError> {
        self.client().pages(Service::Compute, "/flavors/detail", &[], "flavors").await
    }

    async fn ensure(&self, wanted: &Wanted) -> Result<String, CloudError> {
        let known = self.known().flavors.get(&wanted.name).cloned();
        // Looked at each time: it may be deleted or changed under us.
        if let Some(id) = known
            && let Some(found) = self.flavor(&id).await?
            && found.name == wanted.name
            && drift(wanted, &found).is_empty()
        {
            return Ok(id);
        }
        let all = self.flavors().await?;
        let id = match all.iter().find(|flavor| flavor.name == wanted.name) {
            Some(found) => self.fitting(wanted, found).await?,
            None => self.missing(wanted, &all).await?,
        };
        self.known().flavors.insert(wanted.name.clone(), id.clone());
        Ok(id)
    }

    async fn flavor(&self, id: &str) -> Result<Option<NovaFlavor>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            flavor: NovaFlavor,
        }
        let call = self.client().get(Service::Compute, format!("/flavors/{id}"));
        Ok(call.found::<Answer>().await?.map(|answer| answer.flavor))
    }

    async fn fitting(&self, wanted: &Wanted, found: &NovaFlavor) -> Result<String, CloudError> {
        let drift = drift(wanted, found);
        if drift.is_empty() {
            return Ok(found.id.clone());
        }
        let text = format!("of {}, {}", wanted.name, in_words(&drift));
        if !(self.config().make_flavors && is_only_missing(&drift)) {
            return Err(CloudError::FlavorChanged { text, request: None });
        }
        match self.add_specs(&found.id, wanted).await {
            Ok(()) => Ok(found.id.clone()),
            Err(error) if error.status() == Some(403) => {
                Err(CloudError::FlavorChanged { text, request: error.request_id().cloned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn missing(&self, wanted: &Wanted, all: &[NovaFlavor]) -> Result<String, CloudError> {
        let mut request = None;
        if self.config().make_flavors {
            match self.make_flavor(wanted).await {
                Ok(id) => return Ok(id),
                Err(error) if error.status() == Some(403) => request = error.request_id().cloned(),
                // Another portal was first, or an answer was lost.
                Err(error) if error.is_conflict() => {
                    let text = format!("{} was made just now", wanted.name);
                    return Err(CloudError::unavailable(text));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut alike: Vec<_> =
            all.iter().filter(|found| drift(wanted, found).is_empty()).collect();
        alike.sort_by_key(|flavor| &flavor.name);
        if let Some(flavor) = alike.first() {
            warn!(flavor.name = %flavor.name, "There is no flavor {}; this one has the same content", wanted.name);
            return Ok(flavor.id.clone());
        }
        let text = format!("there is no {}, and it may not be made from here", wanted.name);
        Err(CloudError::FlavorChanged { text, request })
    }

    async fn make_flavor(&self, wanted: &Wanted) -> Result<String, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            flavor: Made,
        }
        #[derive(Deserialize)]
        struct Made {
            id: String,
        }
        let body = json!({ "flavor": {
            "name": wanted.name, "vcpus": wanted.vcpus, "ram": wanted.memory_mib,
            "disk": wanted.disk_gib, "description": "A size of Beamdesk",
        }});
        let call = self.client().post(Service::Compute, "/flavors").json(&body);
        let made: Answer = call.send().await?;
        self.add_specs(&made.flavor.id, wanted).await?;
        info!(flavor.name = %wanted.name, "Made the flavor of a size");
        Ok(made.flavor.id)
    }

    async fn add_specs(&self, id: &str, wanted: &Wanted) -> Result<(), ApiError> {
        if wanted.extra_specs.is_empty() {
            return Ok(());
        }
        let body = json!({ "extra_specs": wanted.extra_specs });
        let path = format!("/flavors/{id}/os-extra_specs");
        self.client().post(Service::Compute, &path).json(&body).safe_to_repeat().done().await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use beamdesk_types::{GpuRequest, Size};

    use super::{NovaFlavor, Wanted, drift, in_words, is_only_missing, wanted};
    use crate::openstack::{OpenStackConfig, config::tests::least};

    fn size(gpu: GpuRequest) -> Size {
        Size {
            id: "viz".parse().unwrap(),
            name: "Visualisation".to_owned(),
            vcpus: 8,
            memory_mib: 32_768,
            disk_gib: 60,
            gpu,
            term_hours: 0,
            enabled: true,
        }
    }

    fn config() -> OpenStackConfig {
        let aliases = [("RTX A6000", "a6000"), ("*", "gpu")];
        let pci_aliases = aliases.map(|(model, alias)| (model.to_owned(), alias.to_owned())).into();
        OpenStackConfig { pci_aliases, ..least() }
    }

    fn made(wanted: &Wanted) -> NovaFlavor {
        NovaFlavor {
            id: "7".to_owned(),
            name: wanted.name.clone(),
            vcpus: wanted.vcpus.into(),
            ram: wanted.memory_mib,
            disk: wanted.disk_gib,
            extra_specs: wanted.extra_specs.clone(),
        }
    }

    #[test]
    fn cards_are_asked_for_by_our_keys_and_by_an_alias() {
        let mut gpu = GpuRequest::whole(2, 24_576);
        let any = wanted(&config(), &size(gpu.clone()), None);
        assert_eq!(any.name, "beamdesk-viz");
        assert_eq!(any.extra_specs["pci_passthrough:alias"], "gpu:2");
        assert_eq!(any.extra_specs["heps:gpu_mem_mib"], "24576");
        gpu.models = vec!["T4".to_owned(), "RTX A6000".to_owned()];
        let named = wanted(&config(), &size(gpu), None);
        assert_eq!(named.extra_specs["pci_passthrough:alias"], "a6000:2");
        let none = wanted(&config(), &size(GpuRequest::default()), None);
        assert_eq!(none.extra_specs, BTreeMap::new());
    }

    #[test]
    fn a_desktop_with_other_cards_than_its_size_has_a_flavor_of_its_own() {
        let more = wanted(&config(), &size(GpuRequest::default()), Some(1));
        assert_eq!(more.name, "beamdesk-viz-g1");
        assert_eq!(more.extra_specs["pci_passthrough:alias"], "gpu:1");
        let same = wanted(&config(), &size(GpuRequest::whole(1, 0)), Some(1));
        assert_eq!(same.name, "beamdesk-viz");
    }

    #[test]
    fn a_share_of_a_card_is_not_a_whole_one() {
        let gpu = GpuRequest { share_milli: 250, ..GpuRequest::whole(1, 0) };
        let shared = wanted(&config(), &size(gpu), None);
        assert_eq!(shared.extra_specs.get("pci_passthrough:alias"), None);
        assert_eq!(shared.extra_specs["heps:gpu_share"], "250");
    }

    #[test]
    fn what_is_as_it_should_be_has_no_drift() {
        let wanted = wanted(&config(), &size(GpuRequest::whole(1, 0)), None);
        let mut found = made(&wanted);
        found.extra_specs.insert("hw:cpu_policy".to_owned(), "dedicated".to_owned());
        assert_eq!(drift(&wanted, &found), []);
    }

    #[test]
    fn each_difference_is_told() {
        let wanted = wanted(&config(), &size(GpuRequest::whole(1, 0)), None);
        let mut found = made(&wanted);
        found.ram = 1024;
        found.extra_specs.remove("pci_passthrough:alias");
        found.extra_specs.insert("heps:gpu_cores".to_owned(), "9".to_owned());
        let told = drift(&wanted, &found);
        assert_eq!(
            in_words(&told),
            "ram is 1024 and should be 32768, pci_passthrough:alias is none and should be gpu:1, \
             heps:gpu_cores is 9 and should be none"
        );
        assert!(!is_only_missing(&told));
        found.ram = 32_768;
        found.extra_specs.remove("heps:gpu_cores");
        assert!(is_only_missing(&drift(&wanted, &found)));
    }
}
