//! Counts connections: in all, per address, and per address before the first request.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use super::Limits;

/// The counters of one listener.
#[derive(Debug, Clone)]
pub(super) struct Caps {
    shared: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    connections_max: usize,
    per_address_max: usize,
    pending_max: usize,
    connections: usize,
    /// Holds only addresses with a connection, so `connections_max` bounds it.
    by_address: HashMap<IpAddr, AddressCount>,
}

#[derive(Debug, Default)]
struct AddressCount {
    connections: usize,
    pending: usize,
}

/// One admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    caps: Caps,
    /// `None` until a proxy told it.
    address: Option<IpAddr>,
    pending: bool,
}

impl Caps {
    pub(super) fn new(limits: &Limits) -> Self {
        let counts = Counts {
            connections_max: limits.connections,
            per_address_max: limits.per_address,
            pending_max: limits.pending_per_address,
            connections: 0,
            by_address: HashMap::new(),
        };
        Self { shared: Arc::new(Mutex::new(counts)) }
    }

    /// `None`: one of the bounds is reached.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Slot> {
        let address = site_of(address);
        let admitted = self.with(|counts| {
            let fits = counts.connections < counts.connections_max && counts.take(address);
            counts.connections += usize::from(fits);
            fits
        });
        admitted.then(|| Slot { caps: self.clone(), address: Some(address), pending: true })
    }

    /// A connection of a proxy, whose client is not known yet: it counts in all, until [`Slot::name`].
    pub(super) fn admit_proxied(&self) -> Option<Slot> {
        let admitted = self.with(|counts| {
            let fits = counts.connections < counts.connections_max;
            counts.connections += usize::from(fits);
            fits
        });
        admitted.then(|| Slot { caps: self.clone(), address: None, pending: true })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Counts {
    /// Counts one more connection of an address, pending; false: one of its bounds is reached.
    fn take(&mut self, address: IpAddr) -> bool {
        let count = self.by_address.entry(address).or_default();
        let fits = count.connections < self.per_address_max && count.pending < self.pending_max;
        if fits {
            count.connections += 1;
            count.pending += 1;
        } else if count.connections == 0 {
            // A fresh entry is refused only by a bound of zero, and then must not stay.
            self.by_address.remove(&address);
        }
        fits
    }
}

impl Slot {
    /// Counts it as this client's from now on; false: one of the client's bounds is reached.
    pub(super) fn name(&mut self, client: IpAddr) -> bool {
        let client = site_of(client);
        let fits = self.address.is_none() && self.caps.with(|counts| counts.take(client));
        if fits {
            self.address = Some(client);
        }
        fits
    }

    /// The connection sent its first request.
    pub(super) fn settle(&mut self) {
        let Some(address) = self.address else { return };
        if std::mem::take(&mut self.pending) {
            self.caps.with(|counts| {
                if let Some(count) = counts.by_address.get_mut(&address) {
                    count.pending -= 1;
                }
            });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.settle();
        self.caps.with(|counts| {
            counts.connections -= 1;
            let Some(address) = self.address else { return };
            if let Some(count) = counts.by_address.get_mut(&address) {
                count.connections -= 1;
                if count.connections == 0 {
                    counts.by_address.remove(&address);
                }
            }
        });
    }
}

/// What counts as one address: of IPv6 the /64, because one host has all of it.
fn site_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Caps, Limits};

    fn caps(connections: usize, per_address: usize, pending_per_address: usize) -> Caps {
        let limits = Limits { connections, per_address, pending_per_address, ..Limits::default() };
        Caps::new(&limits)
    }

    #[test]
    fn each_bound_holds_and_gives_its_place_back() {
        let caps = caps(3, 2, 1);
        let one = "192.0.2.1".parse().unwrap();
        let mut first = caps.admit(one).unwrap();
        assert!(caps.admit(one).is_none(), "one pending at most");
        first.settle();
        first.settle();
        let mut second = caps.admit(one).unwrap();
        second.settle();
        assert!(caps.admit(one).is_none(), "two per address at most");
        let third = caps.admit("192.0.2.2".parse().unwrap()).unwrap();
        assert!(caps.admit("192.0.2.3".parse().unwrap()).is_none(), "three in all at most");
        drop((first, second, third));
        assert!(caps.with(|counts| counts.by_address.is_empty() && counts.connections == 0));
    }

    #[test]
    fn what_a_proxy_brings_counts_as_its_clients() {
        let caps = caps(3, 2, 1);
        let one = "192.0.2.1".parse().unwrap();
        let mut first = caps.admit_proxied().unwrap();
        let mut second = caps.admit_proxied().unwrap();
        assert!(first.name(one));
        assert!(!second.name(one), "one pending at most");
        assert!(caps.admit(one).is_none(), "and it is the same client that comes directly");
        first.settle();
        assert!(second.name(one));
        assert!(!second.name("192.0.2.2".parse().unwrap()), "named once");
        let third = caps.admit_proxied().unwrap();
        assert!(caps.admit_proxied().is_none(), "three in all at most");
        drop((first, second, third));
        assert!(caps.with(|counts| counts.by_address.is_empty() && counts.connections == 0));
    }

    #[test]
    fn one_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() {
        let caps = caps(9, 1, 1);
        let _held = caps.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(caps.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(caps.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
        let _mapped = caps.admit("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(caps.admit("192.0.2.1".parse().unwrap()).is_none());
    }
}
