//! Residences: in which regions the data of spaces may lie, as far as this supernode knows.
//!
//! ```text
//! a session's proof ──┐                                  ┌─▶ every question about the ring
//! Found of a replica ─┼─ genesis, named by its hash ─▶ known
//! Put of a shard ─────┤                                  └─▶ written with the first data of the space
//! membership entries ─┘
//! ```
//! A genesis proves itself: the hash of its bytes is the id of its space. Only spaces that name regions are noted; of all
//! others nothing has to be known. Who places, passes on what it knows before it asks, so that whoever is asked to keep
//! something of such a space knows it first.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use cosmic_common::{
    id::{PeerId, SpaceId},
    record::Record as _,
};
use cosmic_custody::message::refusal::{Refusal, RefusalCode};
use cosmic_ring::{Atlas, Regions};
use cosmic_space::genesis::Genesis;
use cosmic_store::{Batch, Span, Store};

use crate::tables::{FORWARDS, RESIDENCES, SPACES, usage};

/// Spaces that name regions and of which nothing is kept here, known by hearsay: 20 MB. The oldest is forgotten first, and
/// learnt again with the next session or shard.
const PASSING_MAX: usize = 65_536;

/// What is known. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Residences(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    spaces: HashMap<SpaceId, Residence>,
    /// Those of which nothing is kept here, the oldest first.
    passing: VecDeque<SpaceId>,
}

#[derive(Debug)]
struct Residence {
    genesis: Bytes,
    regions: Arc<Regions>,
    is_kept: bool,
}

/// Data of a space was to be kept outside its regions.
#[derive(Debug, Clone, thiserror::Error)]
#[error("this supernode stands in {here}, and the space {} keeps its data in {regions}", space.short())]
pub struct Elsewhere {
    /// The space.
    pub space: SpaceId,
    /// Where this supernode stands.
    pub here: String,
    /// Where the data may lie.
    pub regions: Arc<Regions>,
}

impl From<Elsewhere> for Refusal {
    fn from(elsewhere: Elsewhere) -> Self {
        Self::new(RefusalCode::NotResponsible, elsewhere)
    }
}

impl Residences {
    /// What the tables say. Those of spaces of which nothing is left are forgotten.
    ///
    /// # Errors
    /// If the tables cannot be read.
    pub fn open(store: &Store) -> Result<Self, cosmic_store::Error> {
        let mut known = Known::default();
        for row in store.scan(&RESIDENCES, &Span::all(), usize::MAX) {
            let (space, bytes) = row?;
            match Genesis::from_bytes(&bytes) {
                Ok(genesis) if is_left(store, &space)? => known.insert(space, &genesis, bytes, true),
                Ok(_gone) => {}
                Err(error) => {
                    tracing::warn!(space = %space.short(), %error, "the genesis of a space cannot be read")
                }
            }
        }
        Ok(Self(Arc::new(RwLock::new(known))))
    }

    /// Where data of `space` may lie: everywhere, unless its genesis is known and names regions.
    #[must_use]
    pub fn regions(&self, space: &SpaceId) -> Arc<Regions> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.spaces.get(space).map(|residence| Arc::clone(&residence.regions)).unwrap_or_default()
    }

    /// The genesis of a space that names regions, to be passed on.
    #[must_use]
    pub fn genesis(&self, space: &SpaceId) -> Option<Bytes> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.spaces.get(space).map(|residence| residence.genesis.clone())
    }

    /// Takes in the genesis of a space; whether that changes where its data may lie.
    pub fn learn(&self, genesis: &Genesis) -> bool {
        if genesis.policy.regions.is_empty() {
            return false;
        }
        let space = genesis.space_id();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.spaces.contains_key(&space) {
            return false;
        }
        known.insert(space, genesis, genesis.to_bytes().into(), false);
        true
    }

    /// Writes down what is known of `space`, together with data of it.
    pub fn keep(&self, batch: &mut Batch, space: &SpaceId) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(residence) = known.spaces.get_mut(space) {
            batch.put_slice(&RESIDENCES, space, &residence.genesis);
            residence.is_kept = true;
        }
    }

    /// Whether data of `space` may lie at `me`. A supernode that is in no ring keeps what it has.
    ///
    /// # Errors
    /// [`Elsewhere`] if it stands outside the regions of the space.
    pub fn check(&self, atlas: &Atlas, me: &PeerId, space: &SpaceId) -> Result<(), Elsewhere> {
        let regions = self.regions(space);
        match atlas.region_of(me) {
            Some(here) if !regions.permits(here) => {
                Err(Elsewhere { space: *space, here: here.to_string(), regions })
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Known {
    fn insert(&mut self, space: SpaceId, genesis: &Genesis, bytes: Bytes, is_kept: bool) {
        let regions = Arc::new(Regions::named(genesis.policy.regions.iter().map(String::as_str)));
        self.spaces.insert(space, Residence { genesis: bytes, regions, is_kept });
        if is_kept {
            return;
        }
        self.passing.push_back(space);
        if self.passing.len() > PASSING_MAX
            && let Some(oldest) = self.passing.pop_front()
            && self.spaces.get(&oldest).is_some_and(|residence| !residence.is_kept)
        {
            self.spaces.remove(&oldest);
        }
    }
}

/// Whether anything of a space is kept here.
fn is_left(store: &Store, space: &SpaceId) -> Result<bool, cosmic_store::Error> {
    let used = usage(store, space)?;
    let is_owed = || store.scan(&FORWARDS, &Span::prefix(space), 1).next().is_some();
    Ok(used.entries > 0 || used.shards > 0 || store.contains(&SPACES, space)? || is_owed())
}
