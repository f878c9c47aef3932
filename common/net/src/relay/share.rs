//! Fair parts: how many peers of one address may hold something at once, so that nobody takes a relay for himself.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    net::IpAddr,
    time::Duration,
};

use cosmic_runtime::clock::Monotonic;

use crate::guard::{Block, Origin};

/// Addresses that are counted; of more, those that asked longest ago are forgotten first.
const ADDRESSES_MAX: usize = 16 * 1024;

/// Who holds something, by address. A peer that asks again goes on holding; one that does not, lets go after a time.
#[derive(Debug)]
pub(crate) struct Share<P> {
    part: usize,
    lasts: Duration,
    hosts: HashMap<Block, Host<P>>,
    /// Every address by when it asked last.
    asked: BTreeSet<(Monotonic, Block)>,
}

/// What is known of an address.
#[derive(Debug)]
struct Host<P> {
    asked: Monotonic,
    holders: HashMap<P, Monotonic>,
}

impl<P: Eq + Hash> Share<P> {
    /// Nobody holds anything; `part` peers of one address may, each for as long as something `lasts`.
    pub(crate) fn new(part: usize, lasts: Duration) -> Self {
        Self { part, lasts, hosts: HashMap::new(), asked: BTreeSet::new() }
    }

    /// Whether `peer` at `ip` may take or go on holding.
    pub(crate) fn grants(&mut self, ip: IpAddr, peer: P, now: Monotonic) -> bool {
        let address = Origin::of(ip).host;
        let host = self.hosts.entry(address).or_insert_with(|| Host { asked: now, holders: HashMap::new() });
        self.asked.remove(&(host.asked, address));
        self.asked.insert((now, address));
        host.asked = now;
        host.holders.retain(|_holder, since| now.since(*since) < self.lasts);
        let granted = host.holders.contains_key(&peer) || host.holders.len() < self.part;
        if granted {
            host.holders.insert(peer, now);
        }
        self.forget_oldest();
        granted
    }

    fn forget_oldest(&mut self) {
        while self.hosts.len() > ADDRESSES_MAX
            && let Some((_asked, oldest)) = self.asked.pop_first()
        {
            self.hosts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use cosmic_runtime::clock::Clock;
    use proptest::prelude::*;

    use super::*;

    const LASTS: Duration = Duration::from_secs(60);

    fn now() -> Monotonic {
        Clock::system().monotonic()
    }

    #[test]
    fn one_address_gets_its_part_and_others_theirs() {
        let (mut share, start) = (Share::new(2, LASTS), now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!(share.grants(one, 1, start));
        assert!(share.grants(one, 2, start));
        assert!(!share.grants(one, 3, start));
        assert!(share.grants(one, 1, start), "who holds goes on holding");
        assert!(share.grants(other, 3, start));
        assert!(share.grants(one, 3, start.after(LASTS)), "the others let go");
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (mut share, now) = (Share::new(1, LASTS), now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(share.grants(address("2001:db8::1"), 1, now));
        assert!(!share.grants(address("2001:db8::ffff:1"), 2, now));
        assert!(share.grants(address("2001:db8:0:1::1"), 2, now));
        assert!(share.grants(address("192.0.2.1"), 3, now));
        assert!(!share.grants(address("::ffff:192.0.2.1"), 4, now), "the same host, written otherwise");
    }

    proptest! {
        #[test]
        fn nobody_ever_holds_more_than_a_part(asks in prop::collection::vec((0_u8..4, 0_u8..8, 0_u64..30), 1..200)) {
            let (mut share, mut now) = (Share::new(3, LASTS), now());
            let mut held: HashMap<u8, HashMap<u8, Monotonic>> = HashMap::new();
            for (host, peer, later) in asks {
                now = now.after(Duration::from_secs(later));
                let granted = share.grants(IpAddr::from([10, 0, 0, host]), peer, now);
                let holders = held.entry(host).or_default();
                holders.retain(|_, since| now.since(*since) < LASTS);
                prop_assert_eq!(granted, holders.contains_key(&peer) || holders.len() < 3);
                if granted {
                    holders.insert(peer, now);
                }
            }
        }

        #[test]
        fn memory_is_bounded(hosts in prop::collection::hash_set(any::<u32>(), 0..200)) {
            let (mut share, now) = (Share::new(1, LASTS), now());
            for host in hosts {
                share.grants(IpAddr::from(host.to_be_bytes()), 0_u8, now);
                prop_assert!(share.hosts.len() <= ADDRESSES_MAX && share.asked.len() == share.hosts.len());
            }
        }
    }
}
