//! What holders said, by the life they said it in.

use std::collections::BTreeMap;

use cosmic_common::{
    id::{Incarnation, PeerId},
    time::Timestamp,
};

use crate::{
    receipt::Receipt,
    standing::{Life, Standing},
};

/// Lives remembered of one holder, the latest by its own clock. An honest holder changes its life after a disk loss or
/// a restore; one that does it more often than this between two receipts is counted low.
const LIVES_MAX: usize = 4;

/// For each holder and life, the time of its latest receipt and what its receipts add up to.
#[derive(Debug, Clone)]
pub(super) struct Lives<T> {
    holders: BTreeMap<PeerId, BTreeMap<Incarnation, (Timestamp, T)>>,
}

/// What one holder said in the life it lives now.
#[derive(Debug)]
pub(super) struct Said<'a, T> {
    pub(super) peer: &'a PeerId,
    pub(super) life: &'a Incarnation,
    pub(super) said: &'a T,
}

impl<T> Default for Lives<T> {
    fn default() -> Self {
        Self { holders: BTreeMap::new() }
    }
}

impl<T: Default> Lives<T> {
    /// Adds a receipt: `add` joins it to what this holder said in this life.
    pub(super) fn insert(&mut self, receipt: &Receipt, add: impl FnOnce(&mut T)) {
        let lives = self.holders.entry(receipt.holder).or_default();
        let (latest, said) = lives.entry(receipt.incarnation).or_default();
        *latest = receipt.time.max(*latest);
        add(said);
        if lives.len() > LIVES_MAX {
            let oldest = lives.iter().map(|(life, (latest, _))| (*latest, *life)).min();
            if let Some((_, life)) = oldest {
                lives.remove(&life);
            }
        }
    }

    /// What each current member said in the life it lives now.
    pub(super) fn current<'a>(&'a self, standing: &'a Standing) -> impl Iterator<Item = Said<'a, T>> {
        self.holders.iter().filter_map(|(peer, lives)| {
            let newest = lives.iter().map(|(life, (latest, _))| (*latest, *life)).max();
            let life = match standing.life(peer)? {
                Life::Recorded(life) => life,
                Life::Seen(time, life) => newest?.max((time, life)).1,
                Life::Unknown => newest?.1,
            };
            lives.get_key_value(&life).map(|(life, (_, said))| Said { peer, life, said })
        })
    }

    /// Forgets those who are no longer members.
    pub(super) fn retain(&mut self, standing: &Standing) {
        self.holders.retain(|peer, _| standing.contains(peer));
    }
}
