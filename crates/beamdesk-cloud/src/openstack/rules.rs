//! What a desktop's security group lets through: from gateways to its agent, and out to what is
//! listed.

use std::{collections::HashSet, io, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;
use url::Url;

use super::OpenStackConfig;

/// One rule, as Networking API has it (*Security group rules*).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Rule {
    pub(super) direction: String,
    pub(super) ethertype: String,
    pub(super) protocol: Option<String>,
    pub(super) port_range_min: Option<u16>,
    pub(super) port_range_max: Option<u16>,
    pub(super) remote_ip_prefix: Option<String>,
    /// Never ours: whoever is in that group would get in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remote_group_id: Option<String>,
}

/// One that is there.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Found {
    pub(super) id: String,
    #[serde(flatten)]
    pub(super) rule: Rule,
}

/// All that a desktop's group has (SR-28, SR-34). `portals` are the addresses of the portals.
pub(super) fn wanted(config: &OpenStackConfig, portals: &[SocketAddr]) -> Vec<Rule> {
    let rule = |direction: &str, ethertype: &str, to: Option<String>, port: Option<u16>| Rule {
        direction: direction.to_owned(),
        ethertype: ethertype.to_owned(),
        protocol: port.map(|_| "tcp".to_owned()),
        port_range_min: port,
        port_range_max: port,
        remote_ip_prefix: to,
        remote_group_id: None,
    };
    let gateways = config.gateways.iter();
    let mut rules: Vec<Rule> = gateways
        .map(|from| {
            rule("ingress", from.ethertype(), Some(from.to_string()), Some(config.agent_port))
        })
        .collect();
    if config.egress.is_empty() {
        rules.extend(["IPv4", "IPv6"].map(|ethertype| rule("egress", ethertype, None, None)));
    } else {
        let listed = config.egress.iter();
        rules.extend(listed.map(|egress| {
            rule("egress", egress.to.ethertype(), Some(egress.to.to_string()), egress.port)
        }));
        // An agent that cannot reach a portal never gets an identity.
        rules.extend(portals.iter().map(|portal| {
            let (ethertype, whole) = if portal.is_ipv4() { ("IPv4", 32) } else { ("IPv6", 128) };
            let to = format!("{}/{whole}", portal.ip());
            rule("egress", ethertype, Some(to), Some(portal.port()))
        }));
    }
    let mut seen = HashSet::new();
    rules.retain(|rule| seen.insert(plain(rule.clone())));
    rules
}

/// Names with more addresses than this are no portals.
const ADDRESSES_MAX: usize = 16;

/// Where the portals are now: a rule has no names.
///
/// # Errors
/// A name that is not known, or the look-up broke.
pub(super) async fn addresses(portals: &[String]) -> io::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for portal in portals {
        let url = Url::parse(portal).map_err(io::Error::other)?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        found.extend(lookup_host((host, port)).await?.take(ADDRESSES_MAX));
    }
    Ok(found)
}

/// What to add and what to take away, so that the wanted ones are there and no others.
pub(super) fn changes(wanted: &[Rule], found: &[Found]) -> (Vec<Rule>, Vec<String>) {
    let there: HashSet<Rule> = found.iter().map(|found| plain(found.rule.clone())).collect();
    let mut kept = HashSet::new();
    let wished: HashSet<Rule> = wanted.iter().cloned().map(plain).collect();
    let add = wanted.iter().filter(|rule| !there.contains(&plain((*rule).clone()))).cloned();
    let gone = found.iter().filter(|found| {
        let rule = plain(found.rule.clone());
        !wished.contains(&rule) || !kept.insert(rule)
    });
    (add.collect(), gone.map(|found| found.id.clone()).collect())
}

/// Neutron says *any address* in two ways.
fn plain(mut rule: Rule) -> Rule {
    rule.remote_ip_prefix = rule.remote_ip_prefix.filter(|prefix| !prefix.ends_with("/0"));
    rule
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Found, Rule, addresses, changes, wanted};
    use crate::openstack::{OpenStackConfig, config::tests::least};

    fn found(rules: &[Rule]) -> Vec<Found> {
        let one = |(n, rule): (usize, &Rule)| Found { id: format!("r{n}"), rule: rule.clone() };
        rules.iter().enumerate().map(one).collect()
    }

    fn strict() -> OpenStackConfig {
        OpenStackConfig {
            egress: vec!["10.9.0.0/16 2049".to_owned().try_into().unwrap()],
            ..least()
        }
    }

    fn portal() -> SocketAddr {
        "10.0.0.9:8445".parse().unwrap()
    }

    fn shown(rule: &Rule) -> String {
        let Rule { direction, protocol, port_range_min, port_range_max, remote_ip_prefix, .. } =
            rule;
        assert_eq!((port_range_min, rule.remote_group_id.as_ref()), (port_range_max, None));
        let port = port_range_min.map_or("any".to_owned(), |port| port.to_string());
        let (protocol, prefix) = (protocol.as_deref(), remote_ip_prefix.as_deref());
        format!("{direction} {} {port} {}", protocol.unwrap_or("any"), prefix.unwrap_or("any"))
    }

    #[test]
    fn rules_exact() {
        let shown = |config| wanted(&config, &[]).iter().map(shown).collect::<Vec<_>>();
        assert_eq!(
            shown(least()),
            ["ingress tcp 7443 10.0.0.0/24", "egress any any any", "egress any any any"]
        );
    }

    #[test]
    fn egress_exact() {
        let shown: Vec<_> = wanted(&strict(), &[portal()]).iter().map(shown).collect();
        let expected = [
            "ingress tcp 7443 10.0.0.0/24",
            "egress tcp 2049 10.9.0.0/16",
            "egress tcp 8445 10.0.0.9/32",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_there_is_left_and_what_is_not_wanted_goes() {
        let rules = wanted(&strict(), &[portal()]);
        assert_eq!(changes(&rules, &found(&rules)), (vec![], vec![]));
        let mut others = wanted(&least(), &[portal()]);
        others[0].remote_group_id = Some("any group".to_owned());
        let (add, gone) = changes(&rules, &found(&others));
        assert_eq!((add.len(), gone), (3, vec!["r0".to_owned(), "r1".to_owned(), "r2".to_owned()]));
        let twice = [rules.clone(), rules.clone()].concat();
        let (add, gone) = changes(&rules, &found(&twice));
        assert_eq!((add, gone.len()), (vec![], 3));
    }

    #[tokio::test]
    async fn portals_have_addresses() {
        let portals = ["https://10.0.0.9:8445", "https://[::1]:8445", "https://127.0.0.1"];
        let found = addresses(&portals.map(str::to_owned)).await.unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.9:8445", "[::1]:8445", "127.0.0.1:443"]);
    }

    #[test]
    fn any_address_has_two_spellings() {
        let mut everyone = least();
        everyone.gateways = vec!["0.0.0.0/0".parse().unwrap()];
        let rules = wanted(&everyone, &[]);
        let mut there = found(&rules);
        there[0].rule.remote_ip_prefix = None;
        assert_eq!(changes(&rules, &there), (vec![], vec![]));
    }
}
