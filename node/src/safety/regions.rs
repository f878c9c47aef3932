//! Where the data of a space may lie, and where it does: what its genesis says, held against the ring.

use std::{collections::BTreeSet, sync::Arc};

use cosmic_common::id::{PeerId, SpaceId};
use cosmic_log::entry::Entry;
use cosmic_ring::{Class, Regions};
use cosmic_space::{genesis::membership_channel, membership::Membership};
use rusqlite::{Connection, params};

use super::Safety;
use crate::error::Error;

/// The place of the genesis in its log, behind the entry that opens it.
const GENESIS_SEQ: u64 = 1;

/// Where a space is placed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The regions of the supernodes that keep it.
    pub regions: BTreeSet<String>,
    /// How many supernodes there are for it.
    pub supernodes: usize,
    /// The class its objects are coded in; none while nobody would keep them.
    pub class: Option<Class>,
    /// Whether any supernode is known at all.
    pub is_ring_known: bool,
    /// The supernodes that keep its entries.
    pub replicas: Vec<PeerId>,
}

impl Safety {
    /// Where the data of `space` may lie; everywhere while its genesis has not come.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn regions(&self, connection: &Connection, space: &SpaceId) -> Result<Arc<Regions>, Error> {
        if let Some(known) = self.known_regions(space) {
            return Ok(known);
        }
        let Some(regions) = read(connection, space)?.map(Arc::new) else { return Ok(Arc::default()) };
        self.state().regions.insert(*space, Arc::clone(&regions));
        Ok(regions)
    }

    /// The same, if it has been asked for before.
    #[must_use]
    pub fn known_regions(&self, space: &SpaceId) -> Option<Arc<Regions>> {
        self.state().regions.get(space).cloned()
    }

    /// Where `space` is placed, by the ring as it is known.
    ///
    /// # Errors
    /// [`Error`] if the database refuses.
    pub fn placed(&self, connection: &Connection, space: &SpaceId) -> Result<Placed, Error> {
        let regions = self.regions(connection, space)?;
        let state = self.state();
        let ring = state.atlas.ring(space, &regions);
        let of = ring.sites().iter().filter_map(|site| state.atlas.region_of(&site.peer));
        Ok(Placed {
            regions: of.map(ToString::to_string).collect(),
            supernodes: ring.len(),
            class: (!ring.is_empty()).then(|| ring.class()),
            is_ring_known: !state.atlas.everybody().is_empty(),
            replicas: ring.replicas_of(space).collect(),
        })
    }
}

/// What the genesis says, if it is here.
fn read(connection: &Connection, space: &SpaceId) -> Result<Option<Regions>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT bytes FROM entries JOIN logs ON logs.log = entries.log
         WHERE space = ?1 AND channel = ?2 AND entries.seq = ?3 ORDER BY number",
    )?;
    let mut membership = Membership::new(*space);
    let mut rows =
        statement.query(params![space.as_bytes(), membership_channel(space).as_bytes(), GENESIS_SEQ])?;
    while let Some(row) = rows.next()? {
        membership.learn(&[Entry::from_bytes(row.get_ref(0)?.as_blob()?)?]);
        if let Some(genesis) = membership.genesis() {
            return Ok(Some(Regions::named(genesis.policy.regions.iter().map(String::as_str))));
        }
    }
    Ok(None)
}
