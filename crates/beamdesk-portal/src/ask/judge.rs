//! A question about hosts, and what is answered: plain functions over a cluster.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use beamdesk_sched::{Cluster, Placement, Rank, Request};
use beamdesk_types::{DesktopId, GpuRequest, Misfit, NodeName, StationId};
use serde::{Deserialize, Serialize};

use crate::app::planning::Planned;

pub(super) const VERSION: u32 = 1;
/// Hosts of one question. Nova asks Placement for at most 1000, unless it is told otherwise.
const HOSTS_MAX: usize = 4096;
/// Far more than a server has, and small enough for sums.
const VCPUS_MAX: u32 = 1 << 20;
const MEMORY_MIB_MAX: u64 = 1 << 32;
const DISK_GIB_MAX: u64 = 1 << 32;

/// What a server needs, and the hosts that it could have.
#[derive(Debug)]
pub(super) struct Question {
    request: Request,
    /// Whose own room counts as free: it moves, or its portal chose a host for it.
    desktop: Option<DesktopId>,
    preferred: Option<String>,
    hosts: Vec<String>,
}

/// As it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    request: Wish,
    hosts: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// A server that has a host already: a wish of its creation says nothing now.
    #[serde(default, rename = "move")]
    is_move: bool,
    #[serde(default)]
    preferred_host: Option<String>,
    #[serde(default)]
    station: Option<String>,
    #[serde(default)]
    desktop: Option<String>,
}

impl Question {
    /// The error is for whoever asked.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let Line { v, request: wish, hosts } =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if v != VERSION {
            return Err(format!("v: only version {VERSION} is spoken here"));
        }
        if hosts.len() > HOSTS_MAX {
            return Err(format!("hosts: at most {HOSTS_MAX}"));
        }
        if wish.vcpus > VCPUS_MAX
            || wish.memory_mib > MEMORY_MIB_MAX
            || wish.disk_gib > DISK_GIB_MAX
        {
            return Err("request: more than any host has".to_owned());
        }
        let gpu = GpuRequest::from_metadata(&wish.metadata).map_err(|error| error.to_string())?;
        // Users write these two freely: one that cannot be is none, not a question without answer.
        let station: Option<StationId> = wish.station.and_then(|station| station.parse().ok());
        let desktop = wish.desktop.and_then(|desktop| desktop.parse().ok());
        Ok(Self {
            request: Request {
                cpu_milli: u64::from(wish.vcpus) * 1000,
                memory_mib: wish.memory_mib,
                disk_gib: wish.disk_gib,
                gpu,
                station,
                only: None,
                excluded: Vec::new(),
            },
            desktop,
            preferred: wish.preferred_host.filter(|_| !wish.is_move),
            hosts,
        })
    }
}

/// What is thought of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    name: String,
    passes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// 0 is the best. None: of a host that does not pass, or that nobody here knows.
    rank: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    /// No node of this name: Nova's own filters judge it.
    Unknown,
    #[serde(untagged)]
    Misfit(Misfit),
}

/// Judges the hosts asked about, in the order in which they stand in the question.
pub(super) fn judge(cluster: &Cluster, question: &Question) -> Vec<Verdict> {
    let all = cluster.ranks(&question.request);
    let verdict = |name: &String| -> (Verdict, Option<(Rank, usize)>) {
        let known = node(name).and_then(|node| cluster.index_of(&node));
        let found = known.and_then(|index| Some((index, all.get(index)?)));
        let (passes, reason, rank) = match found {
            Some((index, Ok(rank))) => (true, None, Some((*rank, index))),
            Some((_, Err(misfit))) => (false, Some(Reason::Misfit(*misfit)), None),
            None => (true, Some(Reason::Unknown), None),
        };
        (Verdict { name: name.clone(), passes, reason, rank: None }, rank)
    };
    let (mut verdicts, ranks): (Vec<_>, Vec<_>) = question.hosts.iter().map(verdict).unzip();
    let mut order: Vec<(usize, Rank, usize)> = (ranks.into_iter().enumerate())
        .filter_map(|(asked, rank)| rank.map(|(rank, index)| (asked, rank, index)))
        .collect();
    let is_preferred = |asked: usize| {
        let name = question.hosts.get(asked);
        question.preferred.as_ref().is_some_and(|preferred| name == Some(preferred))
    };
    order.sort_by(|(one_asked, one, one_host), (other_asked, other, other_host)| {
        let name = |host: usize| cluster.hosts().get(host).map(|host| &host.name);
        (Reverse(is_preferred(*one_asked)).cmp(&Reverse(is_preferred(*other_asked))))
            .then_with(|| other.order(one))
            .then_with(|| name(*one_host).cmp(&name(*other_host)))
    });
    for (rank, (asked, ..)) in order.into_iter().enumerate() {
        if let Some(verdict) = verdicts.get_mut(asked) {
            verdict.rank = Some(rank);
        }
    }
    verdicts
}

/// Nodes are named in lower case, hosts of Nova as somebody liked.
fn node(host: &str) -> Option<NodeName> {
    host.to_ascii_lowercase().parse().ok()
}

/// The cluster as it is without what the asking desktop has taken or is about to take. `None`: it
/// has nothing.
pub(super) fn own_room(
    planned: &Planned,
    cluster: &Cluster,
    question: &Question,
) -> Option<Cluster> {
    let desktop = question.desktop?;
    let (request, placement) = match planned.gathered.running.iter().find(|own| own.id == desktop) {
        Some(own) => (own.request.clone(), Placement { host: own.host, cards: own.cards.clone() }),
        None => {
            let claim = planned.starts.iter().find(|claim| claim.desktop == desktop)?;
            let host = cluster.index_of(&claim.node)?;
            let cards: BTreeSet<_> = claim.cards.iter().collect();
            let room = &cluster.hosts().get(host)?.cards;
            let is_own = |card: &usize| room.get(*card).is_some_and(|c| cards.contains(&c.address));
            let request = Request {
                cpu_milli: u64::from(claim.vcpus) * 1000,
                memory_mib: claim.memory_mib,
                disk_gib: claim.disk_gib,
                gpu: GpuRequest { share_milli: claim.share_milli, ..GpuRequest::default() },
                ..Request::default()
            };
            (request, Placement { host, cards: (0..room.len()).filter(is_own).collect() })
        }
    };
    let mut own = cluster.clone();
    own.release(&request, &placement);
    Some(own)
}

#[cfg(test)]
mod tests {
    use beamdesk_cloud::sim::Sim;
    use beamdesk_sched::{Amount, CardRoom, Cluster, Host, Settings};
    use beamdesk_types::{Misfit, Partitioning};
    use serde_json::{Value, json};

    use super::{HOSTS_MAX, Question, Reason, Verdict, judge};

    /// `n-1` has one free card, `n-2` two of which one is taken, `n-3` none.
    fn cluster() -> Cluster {
        let host = |name: &str, cards: u8| {
            let mut host = Host::new(name.parse().unwrap(), 64_000, 262_144, 1000);
            host.cpu_milli = Amount { total: 64_000, used: 4000 };
            host.cards = Sim::equal_cards(cards, "A40", 49_152, &Partitioning::Whole)
                .into_iter()
                .map(|card| CardRoom {
                    address: card.address,
                    model: "A40".into(),
                    memory_mib: card.memory_mib,
                    cores: card.cores,
                    bandwidth_gb_s: card.bandwidth_gb_s,
                    clock_mhz: card.clock_mhz,
                    gflops: card.gflops,
                    numa_node: None,
                    free_milli: 1000,
                    is_shared: false,
                })
                .collect();
            host
        };
        let mut half = host("n-2", 2);
        half.cards[0].free_milli = 0;
        let settings = Settings { policy: beamdesk_sched::Policy::BestFit, ..Settings::default() };
        Cluster::new(vec![host("n-3", 0), host("n-1", 2), half], settings)
    }

    fn line(request: &Value, hosts: &[&str]) -> Vec<u8> {
        json!({ "v": 1, "request": request, "hosts": hosts }).to_string().into_bytes()
    }

    fn asked(request: &Value, hosts: &[&str]) -> Vec<Verdict> {
        judge(&cluster(), &Question::read(&line(request, hosts)).unwrap())
    }

    fn wish(more: &Value) -> Value {
        let mut wish = json!({ "vcpus": 4, "memory_mib": 8192, "disk_gib": 20,
            "metadata": { "heps:gpu_num": "1" } });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wish
    }

    fn ranks(verdicts: &[Verdict]) -> Vec<Option<usize>> {
        verdicts.iter().map(|verdict| verdict.rank).collect()
    }

    #[test]
    fn hosts_are_ranked_as_they_would_be_chosen_and_the_others_say_why_not() {
        let verdicts = asked(&wish(&json!({})), &["n-1", "N-2", "n-3", "n-9", "a host"]);
        assert_eq!(ranks(&verdicts), [Some(1), Some(0), None, None, None]);
        let passes: Vec<bool> = verdicts.iter().map(|verdict| verdict.passes).collect();
        assert_eq!(passes, [true, true, false, true, true]);
        assert_eq!(verdicts[1].name, "N-2", "as it was asked for");
        assert_eq!(verdicts[2].reason, Some(Reason::Misfit(Misfit::Gpus)));
        assert_eq!(verdicts[3].reason, Some(Reason::Unknown));
        let text = serde_json::to_value(&verdicts).unwrap();
        let none = json!({ "name": "n-3", "passes": false, "reason": "gpus", "rank": null });
        let strange = json!({ "name": "n-9", "passes": true, "reason": "unknown", "rank": null });
        assert_eq!((&text[2], &text[3]), (&none, &strange));
    }

    #[test]
    fn a_preferred_host_is_first_unless_the_server_moves_or_it_does_not_fit() {
        let hosts = ["n-1", "n-2", "n-3"];
        let first = asked(&wish(&json!({ "preferred_host": "n-1" })), &hosts);
        assert_eq!(ranks(&first), [Some(0), Some(1), None]);
        let moved = asked(&wish(&json!({ "preferred_host": "n-1", "move": true })), &hosts);
        assert_eq!(ranks(&moved), [Some(1), Some(0), None]);
        let unfit = asked(&wish(&json!({ "preferred_host": "n-3" })), &hosts);
        assert_eq!(ranks(&unfit), [Some(1), Some(0), None]);
    }

    #[test]
    fn a_question_that_cannot_be_is_refused_with_what_is_wrong() {
        let bad = |line: &[u8], word: &str| {
            let why = Question::read(line).unwrap_err();
            assert!(why.contains(word), "{why}");
        };
        bad(b"\n", "EOF");
        bad(b"[1]\n", "invalid");
        bad(
            b"{\"v\":2,\"request\":{\"vcpus\":1,\"memory_mib\":1,\"disk_gib\":1},\"hosts\":[]}",
            "v:",
        );
        bad(&line(&wish(&json!({ "vcpus": -1 })), &[]), "invalid");
        bad(&line(&wish(&json!({ "vcpus": 4_000_000 })), &[]), "request");
        bad(&line(&wish(&json!({ "memory_mib": u64::MAX })), &[]), "request");
        bad(&line(&wish(&json!({ "more": 1 })), &[]), "more");
        bad(&line(&wish(&json!({ "metadata": { "heps:gpu_num": "65" } })), &[]), "heps:gpu_num");
        bad(&line(&wish(&json!({})), &vec!["n"; HOSTS_MAX + 1]), "hosts");
        bad("[".repeat(100_000).as_bytes(), "invalid");
        let odd = wish(&json!({ "station": "no station!", "desktop": "x", "preferred_host": "" }));
        assert_eq!(ranks(&asked(&odd, &["n-1"])), [Some(0)]);
    }
}
