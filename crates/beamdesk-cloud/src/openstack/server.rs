//! Servers as Nova tells of them, and what of that is ours.

use std::collections::BTreeMap;

use beamdesk_types::{CardAddress, DesktopId, NodeName};
use serde::Deserialize;

use super::{
    config::Deployment,
    diary::Diary,
    state::{Told, state},
};
use crate::{PowerState, Server, ServerId};

/// Compute API, *List Servers Detailed*, as far as we read it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct NovaServer {
    pub(super) id: String,
    /// Whose project it is in.
    #[serde(default)]
    pub(super) tenant_id: String,
    #[serde(default)]
    pub(super) created: String,
    /// The last change, by Nova's clock.
    #[serde(default)]
    pub(super) updated: String,
    /// A new server is told of with its id alone.
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
    /// Since 2.26.
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(default)]
    pub(super) addresses: BTreeMap<String, Vec<Address>>,
    #[serde(default)]
    pub(super) locked: bool,
    #[serde(default)]
    pub(super) fault: Option<Fault>,
    /// A hash of host and project, set once a host was chosen: everybody may see it.
    #[serde(default, rename = "hostId")]
    pub(super) host_hash: String,
    /// For administrators only.
    #[serde(default, rename = "OS-EXT-SRV-ATTR:host")]
    pub(super) host: Option<String>,
    #[serde(default, rename = "OS-EXT-STS:vm_state")]
    pub(super) vm_state: Option<String>,
    #[serde(default, rename = "OS-EXT-STS:task_state")]
    pub(super) task_state: Option<String>,
    #[serde(default, rename = "OS-EXT-STS:power_state")]
    pub(super) power_state: Option<u8>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Address {
    pub(super) addr: String,
    pub(super) version: u8,
    #[serde(default, rename = "OS-EXT-IPS:type")]
    pub(super) kind: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    pub(super) code: u16,
    #[serde(default)]
    pub(super) message: String,
}

/// Where one of our servers is: nothing else makes it ours.
pub(super) const DESKTOP_TAG: &str = "beamdesk-desktop:";

/// The tag that says which desktop a server is.
pub(super) fn desktop_tag(desktop: DesktopId) -> String {
    format!("{DESKTOP_TAG}{desktop}")
}

/// What servers, ports and security groups of a desktop are called.
pub(super) fn name(desktop: DesktopId) -> String {
    format!("{NAME_PREFIX}{desktop}")
}

pub(super) const NAME_PREFIX: &str = "beamdesk-";

/// Keys of the metadata: for people and other programs; see `diary` for what changes later.
pub(super) mod key {
    pub(in super::super) const DEPLOYMENT: &str = "beamdesk_deployment";
    pub(in super::super) const DESKTOP: &str = "beamdesk_desktop";
    pub(in super::super) const GENERATION: &str = "beamdesk_generation";
    pub(in super::super) const NODE: &str = "beamdesk_node";
    pub(in super::super) const OWNER: &str = "beamdesk_owner";
    pub(in super::super) const IMAGE: &str = "beamdesk_image";
    pub(in super::super) const SIZE: &str = "beamdesk_size";
    pub(in super::super) const CARDS: &str = "beamdesk_cards";
}

impl NovaServer {
    /// Whether this installation made it. Names and metadata anybody may choose or copy, and other
    /// installations have the same ones; the tag says it, of a server in our own project.
    pub(super) fn is_of(&self, deployment: &Deployment, project: &str) -> bool {
        let tag = deployment.tag();
        self.tags.contains(&tag) && self.tenant_id == project
    }

    /// Whose server it is; `None`: it does not say.
    pub(super) fn desktop(&self) -> Option<DesktopId> {
        let tags = self.tags.iter().filter_map(|tag| tag.strip_prefix(DESKTOP_TAG));
        tags.filter_map(|id| id.parse().ok()).next()
    }

    pub(super) fn vm_state(&self) -> &str {
        self.vm_state.as_deref().unwrap_or_default()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.vm_state() == "error" && self.task_state.is_none()
    }

    pub(super) fn is_going(&self) -> bool {
        self.task_state.as_deref() == Some("deleting") || self.vm_state() == "deleted"
    }

    /// Whether a host has been found for it, or never will be.
    pub(super) fn is_placed(&self) -> bool {
        self.vm_state() != "building" || !self.host_hash.is_empty()
    }

    pub(super) fn fault_text(&self) -> Option<&str> {
        self.fault.as_ref().map(|fault| fault.message.as_str())
    }

    /// As the portal sees it; `None`: it does not say whose it is or where.
    pub(super) fn seen(&self, agent_port: u16) -> Option<Server> {
        let desktop = self.desktop()?;
        let diary = Diary::read(self.description.as_deref().unwrap_or_default());
        let (power, note) = state(Told {
            vm_state: self.vm_state(),
            task_state: self.task_state.as_deref(),
            power_state: self.power_state.unwrap_or(0),
            locked: self.locked,
            put_away: diary.put_away,
            fault: self.fault_text(),
        });
        let holds = !matches!(power, PowerState::Off);
        let address = if matches!(power, PowerState::Active | PowerState::Building) {
            self.address(agent_port)
        } else {
            None
        };
        Some(Server {
            id: ServerId(self.id.clone()),
            desktop,
            generation: self.generation(&diary, holds),
            state: power,
            note,
            address,
            node: self.node(&diary)?,
            cards: if holds { self.cards(&diary) } else { Vec::new() },
        })
    }

    /// Of what runs. While it is off, a start that was only announced has not happened.
    fn generation(&self, diary: &Diary, holds: bool) -> u32 {
        let made = self.metadata.get(key::GENERATION).and_then(|text| text.parse().ok());
        let began = if holds { diary.next } else { None };
        made.into_iter().chain(diary.generation).chain(began).max().unwrap_or(0)
    }

    /// Where the cloud says it is, else where we put it.
    fn node(&self, diary: &Diary) -> Option<NodeName> {
        let told = self.host.as_deref().map(str::to_ascii_lowercase);
        let told = told.and_then(|host| host.parse().ok());
        let made = || self.metadata.get(key::NODE).and_then(|node| node.parse().ok());
        told.or_else(|| diary.node.clone()).or_else(made)
    }

    fn cards(&self, diary: &Diary) -> Vec<CardAddress> {
        let made = || self.metadata.get(key::CARDS).map(|list| cards_of(list)).unwrap_or_default();
        diary.cards.clone().unwrap_or_else(made)
    }

    /// What its metadata should say, where they are behind and can be written now.
    pub(super) fn newer_generation(&self) -> Option<u32> {
        let is_settled = self.vm_state() == "active" && self.task_state.is_none();
        let diary = Diary::read(self.description.as_deref().unwrap_or_default());
        let made = self.metadata.get(key::GENERATION).and_then(|text| text.parse().ok());
        let known = self.generation(&diary, true);
        (is_settled && made.is_some_and(|made: u32| made < known)).then_some(known)
    }

    /// The first fixed address, IPv4 before IPv6.
    fn address(&self, port: u16) -> Option<String> {
        let all = self.addresses.values().flatten();
        let fixed = all.filter(|address| address.kind.as_deref() != Some("floating"));
        let first = fixed.min_by_key(|address| address.version)?;
        let ip: std::net::IpAddr = first.addr.parse().ok()?;
        Some(std::net::SocketAddr::new(ip, port).to_string())
    }
}

/// From a list with commas; what is none is left out.
pub(super) fn cards_of(list: &str) -> Vec<CardAddress> {
    list.split(',').filter_map(|card| card.parse().ok()).collect()
}

/// With commas between.
pub(super) fn card_list(cards: &[CardAddress]) -> String {
    cards.iter().map(CardAddress::as_str).collect::<Vec<_>>().join(",")
}

/// Which of several servers with one desktop's tag is its server: the one that works, and of those
/// the first. Every reader comes to the same.
pub(super) fn chosen(servers: &[NovaServer]) -> Option<&NovaServer> {
    servers.iter().min_by_key(|server| {
        (server.is_going(), server.is_broken(), server.created.clone(), server.id.clone())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::{NovaServer, chosen};
    use crate::{
        PowerState, ServerNote,
        openstack::config::{Deployment, tests::least},
    };

    const DESKTOP: &str = "0193a000-0000-7000-8000-000000000001";

    pub(in super::super) fn answered(vm_state: &str, description: &str) -> NovaServer {
        let answer = json!({
            "id": "5c1f", "name": "anything", "created": "2026-01-01T00:00:00Z",
            "tenant_id": "p", "status": "ACTIVE",
            "description": description,
            "metadata": {
                "beamdesk_desktop": "other", "beamdesk_generation": "3", "beamdesk_node": "fake001",
                "beamdesk_cards": "0000:10:00.0,0000:11:00.0"
            },
            "tags": [format!("beamdesk-desktop:{DESKTOP}"), "beamdesk:heps"],
            "addresses": {"desktops": [
                {"addr": "2001:db8::7", "version": 6, "OS-EXT-IPS:type": "fixed"},
                {"addr": "10.0.0.7", "version": 4, "OS-EXT-IPS:type": "fixed"},
                {"addr": "192.0.2.7", "version": 4, "OS-EXT-IPS:type": "floating"}
            ]},
            "locked": false, "hostId": "ab", "OS-EXT-STS:vm_state": vm_state,
            "OS-EXT-STS:task_state": null, "OS-EXT-STS:power_state": 1,
        });
        serde_json::from_value(answer).unwrap()
    }

    #[test]
    fn a_server_is_what_its_tags_and_metadata_say() {
        let server = answered("active", "").seen(7443).unwrap();
        assert_eq!(server.desktop.to_string(), DESKTOP);
        assert_eq!((server.generation, server.node.as_str()), (3, "fake001"));
        assert_eq!(server.address.as_deref(), Some("10.0.0.7:7443"));
        assert_eq!(server.cards.len(), 2);
        assert_eq!((server.state, server.note), (PowerState::Active, None));
    }

    #[test]
    fn an_announced_start_counts_once_the_server_is_on() {
        let diary = "beamdesk generation=5 node=fake002 cards=0000:12:00.0 next=6 put-away";
        let off = answered("shelved_offloaded", diary).seen(7443).unwrap();
        assert_eq!((off.generation, off.node.as_str()), (5, "fake002"));
        assert_eq!((off.state, off.note, off.address), (PowerState::Off, None, None));
        assert_eq!(off.cards, []);
        let on = answered("active", diary).seen(7443).unwrap();
        assert_eq!((on.generation, on.cards.len()), (6, 1));
    }

    #[test]
    fn metadata_that_are_behind_are_mended_while_it_runs() {
        let diary = "beamdesk generation=5 next=6";
        assert_eq!(answered("active", diary).newer_generation(), Some(6));
        assert_eq!(answered("shelved_offloaded", diary).newer_generation(), None);
        assert_eq!(answered("active", "beamdesk generation=3").newer_generation(), None);
    }

    #[test]
    fn put_away_by_others_is_noted() {
        let off = answered("shelved_offloaded", "beamdesk generation=5").seen(7443).unwrap();
        assert_eq!((off.state, off.note), (PowerState::Off, Some(ServerNote::Shelved)));
    }

    #[test]
    fn the_cloud_knows_best_where_a_server_is() {
        let mut server = answered("active", "");
        server.host = Some("Fake009".to_owned());
        assert_eq!(server.seen(7443).unwrap().node.as_str(), "fake009");
    }

    #[test]
    fn only_the_tag_makes_a_server_ours() {
        let ours = least().deployment;
        let mut server = answered("active", "");
        assert!(server.is_of(&ours, "p"));
        assert!(!server.is_of(&ours, "q"), "another tenant's");
        assert!(!server.is_of(&Deployment::try_from("other".to_owned()).unwrap(), "p"));
        server.tags.retain(|tag| tag != "beamdesk:heps");
        assert!(!server.is_of(&ours, "p"));
        server.tags.push("beamdesk:heps2".to_owned());
        assert!(!server.is_of(&ours, "p"));
    }

    #[test]
    fn what_does_not_say_whose_it_is_is_nobodys() {
        let mut server = answered("active", "");
        server.tags = vec!["beamdesk:heps".to_owned(), "beamdesk-desktop:nonsense".to_owned()];
        assert_eq!(server.seen(7443), None);
    }

    #[test]
    fn of_two_the_first_that_works_is_the_desktops() {
        let with = |id: &str, created: &str, vm_state: &str| {
            let mut server = answered(vm_state, "");
            (server.id, server.created) = (id.to_owned(), created.to_owned());
            server
        };
        let pick = |servers: &[NovaServer]| chosen(servers).map(|server| server.id.clone());
        let (broken, late, early) =
            (with("a", "1", "error"), with("b", "3", "building"), with("c", "2", "active"));
        let mut going = with("d", "0", "active");
        going.task_state = Some("deleting".to_owned());
        assert_eq!(pick(&[going.clone(), broken.clone(), late, early]), Some("c".to_owned()));
        assert_eq!(pick(&[going.clone(), broken]), Some("a".to_owned()));
        assert_eq!(pick(&[going]), Some("d".to_owned()));
        assert_eq!(pick(&[]), None);
    }
}
