//! The address book: where peers were last said to live, bounded in peers and in addresses of each.

use std::collections::{BTreeMap, HashMap};

use cosmic_common::{id::PeerId, limit::ADDRESSES_MAX};
use libp2p::Multiaddr;

/// Peers remembered; a house that needs more keeps them itself (member records, tickets).
const PEERS_MAX: usize = 16 * 1024;

/// Addresses by peer, the best first; the peers least recently told of are forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Book {
    entries: HashMap<PeerId, Entry>,
    by_age: BTreeMap<u64, PeerId>,
    tellings: u64,
}

#[derive(Debug)]
struct Entry {
    addresses: Vec<Multiaddr>,
    told: u64,
}

impl Book {
    /// Adds what is new; over the limit the newest displace the last, which failed or are oldest. Whether anything was new.
    pub(crate) fn add(&mut self, peer: PeerId, addresses: impl IntoIterator<Item = Multiaddr>) -> bool {
        let mut addresses = addresses.into_iter().take(ADDRESSES_MAX).peekable();
        if addresses.peek().is_none() {
            return false;
        }
        self.tellings += 1;
        let told = self.tellings;
        let entry = self.entries.entry(peer).or_insert(Entry { addresses: Vec::new(), told });
        self.by_age.remove(&entry.told);
        self.by_age.insert(told, peer);
        entry.told = told;
        let mut new = false;
        for address in addresses {
            if !entry.addresses.contains(&address) {
                new = true;
                entry.addresses.truncate(ADDRESSES_MAX - 1);
                entry.addresses.push(address);
            }
        }
        while self.entries.len() > PEERS_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        new
    }

    /// The addresses of a peer, the best first.
    pub(crate) fn of(&self, peer: &PeerId) -> &[Multiaddr] {
        self.entries.get(peer).map(|entry| entry.addresses.as_slice()).unwrap_or_default()
    }

    /// An address that worked comes first from now on.
    pub(crate) fn worked(&mut self, peer: &PeerId, address: &Multiaddr) {
        self.displace(peer, address, |addresses, address| addresses.insert(0, address));
    }

    /// An address that failed comes last from now on, and is the first to be displaced.
    pub(crate) fn failed(&mut self, peer: &PeerId, address: &Multiaddr) {
        self.displace(peer, address, Vec::push);
    }

    fn displace(
        &mut self,
        peer: &PeerId,
        address: &Multiaddr,
        put: impl FnOnce(&mut Vec<Multiaddr>, Multiaddr),
    ) {
        let Some(entry) = self.entries.get_mut(peer) else { return };
        if let Some(place) = entry.addresses.iter().position(|known| known == address) {
            let address = entry.addresses.remove(place);
            put(&mut entry.addresses, address);
        }
    }
}

#[cfg(test)]
mod tests;
