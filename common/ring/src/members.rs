//! The members of a network: a set of signed records that grows the same way in whatever order they come.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use cosmic_common::{
    hash,
    id::{Hash, NetworkId, OperatorId, PeerId},
};
use cosmic_identity::signed::Signed;
use minicbor::{Decode, Encode};

use crate::{
    class::Class,
    config::{self, Admission, NetworkConfig},
    draw::Draw,
    endpoint::{Edition, Endpoint, edition, verify_endpoint},
    error::Error,
    member::{Member, State, verify_member, version},
    trust::Trusted,
    vouches::{Vouches, verify_vouches},
    web::{Taken, Web},
};

/// Member records one network may have; their inventory fits into one message.
pub const MEMBERS_MAX: usize = 4096;

/// The place of a record among all about the same peer: the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Version {
    /// The term of the peer's consent.
    #[n(0)]
    pub term: u64,
    /// The number its operator gave it.
    #[n(1)]
    pub sequence: u64,
    /// The plain hash of the signed record: decides between two of one number.
    #[n(2)]
    pub hash: Hash,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The first about its peer.
    New,
    /// It replaced an older one.
    Newer,
    /// It was known, or a newer one is.
    Known,
}

/// The configuration of a network, the vouches of its operators and its member records, all verified.
#[derive(Debug, Clone)]
pub struct Members {
    network: NetworkId,
    config: Signed<NetworkConfig>,
    web: Web,
    records: BTreeMap<PeerId, (Version, Signed<Member>)>,
    endpoints: BTreeMap<PeerId, (Edition, Signed<Endpoint>)>,
}

impl Members {
    /// No members yet, under `config`, which must be one of `network`.
    ///
    /// # Errors
    /// [`Error`] if it is not, or not signed by the network key, or out of bounds.
    pub fn new(config: Signed<NetworkConfig>, network: NetworkId) -> Result<Self, Error> {
        let mut web = Web::default();
        web.reckon(config::verify(&config, network)?);
        Ok(Self { network, config, web, records: BTreeMap::new(), endpoints: BTreeMap::new() })
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The configuration that counts.
    #[must_use]
    pub const fn config(&self) -> &NetworkConfig {
        self.config.unverified()
    }

    /// The configuration with its signature, to pass on or to keep.
    #[must_use]
    pub const fn signed_config(&self) -> &Signed<NetworkConfig> {
        &self.config
    }

    /// Takes over `config` if it is newer; whether it was. Records of operators it no longer admits are dropped.
    ///
    /// # Errors
    /// [`Error`] if it is not a valid configuration of this network.
    pub fn adopt(&mut self, config: Signed<NetworkConfig>) -> Result<bool, Error> {
        if config::compare(&config, &self.config).is_le() {
            return Ok(false);
        }
        config::verify(&config, self.network)?;
        self.config = config;
        self.web.reckon(self.config.unverified());
        self.part_with_strangers();
        Ok(true)
    }

    /// Drops the records of operators that are not admitted, and where their supernodes are.
    fn part_with_strangers(&mut self) {
        let Self { config, web, records, endpoints, .. } = self;
        let config = config.unverified();
        records.retain(|_peer, (_version, record)| admits(config, web, &record.unverified().operator));
        endpoints.retain(|peer, _endpoint| records.contains_key(peer) || config.is_door(peer));
    }

    /// Whether member records of `operator` count, by the configuration or by vouches.
    #[must_use]
    pub fn admits(&self, operator: &OperatorId) -> bool {
        admits(self.config(), &self.web, operator)
    }

    /// Who counts by vouches; nobody in a network that is not vouched.
    #[must_use]
    pub const fn trusted(&self) -> &Trusted {
        self.web.trusted()
    }

    /// Everybody who vouches for `operator` and counts.
    #[must_use]
    pub fn vouchers_of(&self, operator: &OperatorId) -> BTreeSet<OperatorId> {
        self.web.vouchers_of(operator)
    }

    /// Takes in what is newer of `lists`, and drops the records of operators that do not count any more. The lists are looked at
    /// together, in whatever order: one may count only by another.
    ///
    /// # Errors
    /// [`Error`] if one is not valid; then none is taken.
    pub fn vouch(&mut self, lists: Vec<Signed<Vouches>>) -> Result<Taken, Error> {
        let new: Vec<_> = lists.into_iter().filter(|list| self.web.is_new(list)).collect();
        for list in &new {
            verify_vouches(list, self.network)?;
        }
        let taken = self.web.take(new, self.config.unverified());
        self.part_with_strangers();
        Ok(taken)
    }

    /// The vouches of `operator`, if they count.
    #[must_use]
    pub fn vouches_of(&self, operator: &OperatorId) -> Option<&Signed<Vouches>> {
        self.web.list(operator)
    }

    /// All vouches that count with their signatures, in the order of operators: to keep, or to pass on.
    pub fn vouches(&self) -> impl Iterator<Item = &Signed<Vouches>> {
        self.web.counting().map(|(_operator, (_edition, list))| list)
    }

    /// The hash of all vouches that count; none if there are none.
    #[must_use]
    pub fn vouches_digest(&self) -> Option<Hash> {
        self.web.digest()
    }

    /// The edition of the vouches of each operator.
    #[must_use]
    pub fn vouches_editions(&self) -> BTreeMap<OperatorId, Edition> {
        self.web.editions()
    }

    /// The vouches that are newer than those of `editions`, or of operators it does not name.
    pub fn vouches_newer_than(
        &self,
        editions: &BTreeMap<OperatorId, Edition>,
    ) -> impl Iterator<Item = &Signed<Vouches>> {
        self.web
            .counting()
            .filter(|(operator, (edition, _list))| {
                editions.get(operator).is_none_or(|theirs| theirs < edition)
            })
            .map(|(_operator, (_edition, list))| list)
    }

    /// Takes `record` in if it is newer than what is known about its peer.
    ///
    /// # Errors
    /// [`Error`] if it is not valid, its operator not admitted, or the ring full.
    pub fn insert(&mut self, record: Signed<Member>) -> Result<Inserted, Error> {
        let (peer, version) = (record.unverified().peer, version(&record));
        let operator = record.unverified().operator;
        if self.records.get(&peer).is_some_and(|(known, _record)| *known >= version) {
            return Ok(Inserted::Known);
        }
        if !self.admits(&operator) {
            return Err(Error::NotAdmitted { operator });
        }
        verify_member(&record, self.network)?;
        let full = self.records.len() >= MEMBERS_MAX;
        match self.records.entry(peer) {
            Entry::Occupied(mut place) => {
                place.insert((version, record));
                Ok(Inserted::Newer)
            }
            Entry::Vacant(_) if full => Err(Error::Full),
            Entry::Vacant(place) => {
                place.insert((version, record));
                Ok(Inserted::New)
            }
        }
    }

    /// Takes `endpoint` in if it is newer than what its peer said before.
    ///
    /// # Errors
    /// [`Error`] if it is not valid, or its peer neither a member nor a bootstrap node.
    pub fn insert_endpoint(&mut self, endpoint: Signed<Endpoint>) -> Result<Inserted, Error> {
        let (peer, edition) = (endpoint.unverified().peer, edition(&endpoint));
        let known = self.endpoints.get(&peer).map(|(known, _endpoint)| *known);
        if known.is_some_and(|known| known >= edition) {
            return Ok(Inserted::Known);
        }
        if !self.records.contains_key(&peer) && !self.config().is_door(&peer) {
            return Err(Error::Stranger(peer));
        }
        verify_endpoint(&endpoint, self.network)?;
        self.endpoints.insert(peer, (edition, endpoint));
        Ok(if known.is_some() { Inserted::Newer } else { Inserted::New })
    }

    /// Where `peer` says that it may be reached.
    #[must_use]
    pub fn endpoint(&self, peer: &PeerId) -> Option<&Endpoint> {
        self.endpoints.get(peer).map(|(_edition, endpoint)| endpoint.unverified())
    }

    /// All endpoints with their signatures, in the order of peers: to keep, or to pass on.
    pub fn endpoints(&self) -> impl Iterator<Item = &Signed<Endpoint>> {
        self.endpoints.values().map(|(_edition, endpoint)| endpoint)
    }

    /// The record about `peer`, whatever its state.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<&Member> {
        self.records.get(peer).map(|(_version, record)| record.unverified())
    }

    /// The record about `peer` with its signature.
    #[must_use]
    pub fn record(&self, peer: &PeerId) -> Option<&Signed<Member>> {
        self.records.get(peer).map(|(_version, record)| record)
    }

    /// All records with their signatures, in the order of peers: to keep, or to pass on.
    pub fn records(&self) -> impl Iterator<Item = &Signed<Member>> {
        self.records.values().map(|(_version, record)| record)
    }

    /// The members that are part of the ring, in the order of peers.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        self.records().map(Signed::unverified).filter(|member| member.state == State::Active)
    }

    /// Whether `peer` is part of the ring: the right of supernodes to store, forward and read among themselves.
    #[must_use]
    pub fn is_active(&self, peer: &PeerId) -> bool {
        self.get(peer).is_some_and(|member| member.state == State::Active)
    }

    /// The class objects are coded in now.
    #[must_use]
    pub fn class(&self) -> Class {
        Class::for_members(self.active().count(), &self.config().classes)
    }

    /// The hash of all records: two peers with one digest know the same members.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let parts: Vec<&[u8]> = self
            .records
            .iter()
            .flat_map(|(peer, (version, _record))| [peer.as_bytes().as_slice(), version.hash.as_bytes()])
            .collect();
        Hash::from_bytes(hash::derive("cosmic members 1", &parts))
    }

    /// The hash of all endpoints.
    #[must_use]
    pub fn endpoints_digest(&self) -> Hash {
        let parts: Vec<&[u8]> = self
            .endpoints
            .iter()
            .flat_map(|(peer, (edition, _endpoint))| [peer.as_bytes().as_slice(), edition.hash.as_bytes()])
            .collect();
        Hash::from_bytes(hash::derive("cosmic endpoints 1", &parts))
    }

    /// The edition of the endpoint of each peer.
    #[must_use]
    pub fn editions(&self) -> BTreeMap<PeerId, Edition> {
        self.endpoints.iter().map(|(peer, (edition, _endpoint))| (*peer, *edition)).collect()
    }

    /// The endpoints that are newer than those of `editions`, or of peers it does not name.
    pub fn endpoints_newer_than(
        &self,
        editions: &BTreeMap<PeerId, Edition>,
    ) -> impl Iterator<Item = &Signed<Endpoint>> {
        self.endpoints
            .iter()
            .filter(|(peer, (edition, _endpoint))| editions.get(peer).is_none_or(|theirs| theirs < edition))
            .map(|(_peer, (_edition, endpoint))| endpoint)
    }

    /// The version of the record about each peer.
    #[must_use]
    pub fn inventory(&self) -> BTreeMap<PeerId, Version> {
        self.records.iter().map(|(peer, (version, _record))| (*peer, *version)).collect()
    }

    /// The records that are newer than those of `inventory`, or about peers it does not name.
    pub fn newer_than(&self, inventory: &BTreeMap<PeerId, Version>) -> impl Iterator<Item = &Signed<Member>> {
        self.records
            .iter()
            .filter(|(peer, (version, _record))| inventory.get(peer).is_none_or(|theirs| theirs < version))
            .map(|(_peer, (_version, record))| record)
    }

    /// Up to `count` records of active members, chosen by `seed`.
    #[must_use]
    pub fn sample(&self, count: usize, seed: &[u8; 32]) -> Vec<&Signed<Member>> {
        let active = |record: &&Signed<Member>| record.unverified().state == State::Active;
        let mut left: Vec<_> = self.records().filter(active).collect();
        let mut draw = Draw::new("cosmic member sample 1", seed);
        (0..count.min(left.len())).map(|_| left.swap_remove(draw.below(left.len()))).collect()
    }
}

fn admits(config: &NetworkConfig, web: &Web, operator: &OperatorId) -> bool {
    match config.admission {
        Admission::Vouched => web.trusted().places.contains_key(operator),
        Admission::Open | Admission::AllowList => config.admits(operator),
    }
}
