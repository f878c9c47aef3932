//! The ledger: what this process knows of its network, what it says of itself, and the view that follows.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
    record::Record,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_ring::{
    Door, Endpoint, Inserted, Label, Member, Members, NetworkConfig, Presence, Vouches, config::DOORS_MAX,
    listing::Judge, presence::PRESENT_ADDRESSES_MAX,
};
use cosmic_runtime::clock::Clock;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{Error, Metrics, RingView, state::State};

/// Everything known, behind one lock that is never held while waiting.
pub(crate) struct Ledger {
    network: NetworkId,
    key: SecretKey,
    clock: Clock,
    metrics: Metrics,
    known: Mutex<Known>,
    view: watch::Sender<Option<Arc<RingView>>>,
    /// Whether what is known of the ring is what others know now.
    in_touch: AtomicBool,
}

struct Known {
    /// Nothing before the configuration is known.
    members: Option<Members>,
    /// What our operator says of us; said again whenever the network forgot it.
    member: Option<Signed<Member>>,
    /// Where we may be reached.
    addresses: Vec<Address>,
    /// Where to knock: as we were told, and as it worked.
    doors: BTreeMap<PeerId, Vec<Address>>,
    /// The version of the configuration that did not admit us, so that it is told once.
    told_refused: Option<u64>,
}

impl Ledger {
    /// A ledger of `network` with what `state` kept; `doors` come on top.
    pub(crate) fn new(
        network: NetworkId,
        key: SecretKey,
        clock: Clock,
        metrics: Metrics,
        kept: Option<State>,
    ) -> Result<Self, Error> {
        let mut doors = BTreeMap::new();
        let mut members = None;
        if let Some(state) = kept {
            doors.extend(state.doors.iter().map(|door| (door.peer, door.addresses.clone())));
            members = restore(&state, network)?;
        }
        let known = Known { members, member: None, addresses: Vec::new(), doors, told_refused: None };
        let (known, view, in_touch) = (Mutex::new(known), watch::Sender::new(None), AtomicBool::new(false));
        let ledger = Self { network, key, clock, metrics, known, view, in_touch };
        ledger.settle(&mut ledger.lock());
        Ok(ledger)
    }

    pub(crate) const fn network(&self) -> NetworkId {
        self.network
    }

    pub(crate) fn local_peer(&self) -> PeerId {
        self.key.peer_id()
    }

    pub(crate) fn view(&self) -> Option<Arc<RingView>> {
        self.view.borrow().clone()
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<RingView>>> {
        self.view.subscribe()
    }

    /// Reads or changes the members, once they are known; whatever changed is published.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Members) -> T) -> Option<T> {
        let mut known = self.lock();
        let result = act(known.members.as_mut()?);
        self.settle(&mut known);
        Some(result)
    }

    /// Takes over `config` if it is newer; whether it was.
    pub(crate) fn adopt(&self, config: Signed<NetworkConfig>) -> Result<bool, Error> {
        let mut known = self.lock();
        let adopted = match known.members.as_mut() {
            Some(members) => members.adopt(config)?,
            None => {
                known.members = Some(Members::new(config, self.network)?);
                true
            }
        };
        self.settle(&mut known);
        Ok(adopted)
    }

    /// Takes over what somebody told a joiner, all of which was verified.
    pub(crate) fn join(&self, told: &Members) -> Result<(), Error> {
        self.adopt(told.signed_config().clone())?;
        self.act(|members| {
            for record in told.records() {
                // Who was admitted in the configuration that came along may not be in a newer one.
                if let Err(error) = members.insert(record.clone()) {
                    info!(%error, "a member record was not taken over");
                }
            }
        });
        Ok(())
    }

    /// Says from now on what our operator says of us.
    pub(crate) fn announce(&self, member: Signed<Member>) -> Result<(), Error> {
        cosmic_ring::member::verify_member(&member, self.network)?;
        if member.unverified().peer != self.local_peer() {
            return Err(Error::OtherPeer);
        }
        let mut known = self.lock();
        known.member = Some(member);
        known.told_refused = None;
        self.settle(&mut known);
        Ok(())
    }

    /// Takes over what an operator says of another member, and passes it on; whether it was news.
    pub(crate) fn pass_on(&self, member: Signed<Member>) -> Result<bool, Error> {
        let inserted = self.act(|members| members.insert(member)).ok_or(Error::NotJoined)??;
        Ok(inserted != Inserted::Known)
    }

    /// Takes over whom an operator vouches for, and passes it on; whether it was news.
    pub(crate) fn vouch(&self, vouches: Signed<Vouches>) -> Result<bool, Error> {
        let operator = vouches.unverified().operator;
        let taken = self.act(|members| members.vouch(vec![vouches])).ok_or(Error::NotJoined)??;
        if taken.refused > 0 {
            return Err(cosmic_ring::Error::NotAdmitted { operator }.into());
        }
        Ok(taken.inserted > 0)
    }

    /// Says from now on that we may be reached at `addresses`.
    pub(crate) fn reside(&self, addresses: Vec<Address>) {
        let mut known = self.lock();
        if known.addresses != addresses {
            known.addresses = addresses;
            self.settle(&mut known);
        }
    }

    /// Remembers where to knock.
    pub(crate) fn add_door(&self, peer: PeerId, addresses: &[Address]) {
        let mut known = self.lock();
        if peer != self.local_peer()
            && !addresses.is_empty()
            && (known.doors.len() < DOORS_MAX || known.doors.contains_key(&peer))
        {
            known.doors.insert(peer, addresses.to_vec());
        }
    }

    /// What this process says of itself in the directory, and the region it is listed in, if it has a part in the network.
    pub(crate) fn presence(&self) -> Option<(Signed<Presence>, Option<Label>)> {
        let (view, peer) = (self.view()?, self.local_peer());
        let active = view.members.get(&peer).filter(|_| view.members.is_active(&peer));
        if active.is_none() && !view.config.unverified().is_door(&peer) {
            return None;
        }
        let mut addresses = self.lock().addresses.clone();
        addresses.truncate(PRESENT_ADDRESSES_MAX);
        if addresses.is_empty() {
            return None;
        }
        let said_ms = self.clock.now().unix_ms();
        let presence = Presence { network: self.network, peer, said_ms, addresses };
        Some((Signed::sign(presence, &self.key), active.map(|member| member.region.clone())))
    }

    /// Where our operator says that we stand.
    pub(crate) fn own_region(&self) -> Option<Label> {
        self.lock().member.as_ref().map(|member| member.unverified().region.clone())
    }

    /// Whether somebody of the ring has told lately what he knows.
    pub(crate) fn set_in_touch(&self, in_touch: bool) {
        self.in_touch.store(in_touch, Ordering::Relaxed);
    }

    /// By what records of the directory are judged: by the ring, unless that may be out of date, which is when others are
    /// looked for in the directory.
    pub(crate) fn judge<T>(&self, act: impl FnOnce(Judge<'_>) -> Option<T>) -> Option<T> {
        let view = self.view().filter(|_| self.in_touch.load(Ordering::Relaxed));
        let members = view.as_deref().map(|view| &view.members);
        act(Judge { network: self.network, now_ms: self.clock.now().unix_ms(), members })
    }

    /// Where to knock.
    pub(crate) fn doors(&self) -> BTreeMap<PeerId, Vec<Address>> {
        self.lock().doors.clone()
    }

    /// Where `peer` may be reached.
    pub(crate) fn addresses_of(&self, peer: &PeerId) -> Vec<Address> {
        let said = self.view().map(|view| view.addresses_of(peer).to_vec()).unwrap_or_default();
        if said.is_empty() { self.lock().doors.get(peer).cloned().unwrap_or_default() } else { said }
    }

    /// Whether our operator speaks for us and is not admitted.
    pub(crate) fn is_waiting(&self) -> bool {
        let known = self.lock();
        let is_member = |members: &Members| members.get(&self.key.peer_id()).is_some();
        known.member.is_some() && !known.members.as_ref().is_some_and(is_member)
    }

    /// What to keep for a restart.
    pub(crate) fn state(&self) -> State {
        let known = self.lock();
        let members = known.members.as_ref();
        let records = members.into_iter().flat_map(Members::records);
        let endpoints = members.into_iter().flat_map(Members::endpoints);
        let vouches = members.into_iter().flat_map(Members::vouches);
        State {
            network: self.network,
            config: members.map(|members| members.signed_config().to_bytes().into()),
            members: records.map(|record| record.to_bytes().into()).collect(),
            endpoints: endpoints.map(|endpoint| endpoint.to_bytes().into()).collect(),
            doors: (known.doors.iter())
                .map(|(peer, addresses)| Door { peer: *peer, addresses: addresses.clone() })
                .collect(),
            vouches: vouches.map(|vouches| vouches.to_bytes().into()).collect(),
        }
    }

    /// Says what has to be said of ourselves, then publishes the view if anything changed.
    fn settle(&self, known: &mut Known) {
        self.speak_of_self(known);
        let Some(members) = &known.members else { return };
        self.metrics.members(members.active().count(), members.trusted().places.len());
        self.view.send_if_modified(|view| {
            let same = view.as_ref().is_some_and(|view| {
                view.config == *members.signed_config()
                    && view.members.digest() == members.digest()
                    && view.members.vouches_digest() == members.vouches_digest()
                    && view.members.endpoints_digest() == members.endpoints_digest()
            });
            if !same {
                *view = Some(Arc::new(RingView::of(members, view.as_deref())));
            }
            !same
        });
    }

    fn speak_of_self(&self, known: &mut Known) {
        let Known { members: Some(members), member, addresses, told_refused, .. } = known else { return };
        if let Some(member) = member {
            let version = members.config().version;
            match members.insert(member.clone()) {
                Ok(Inserted::Known) => {}
                Ok(Inserted::New | Inserted::Newer) => info!("this process is a member of the ring"),
                Err(error) if *told_refused != Some(version) => {
                    warn!(%error, version, "this process is not part of the ring yet");
                    *told_refused = Some(version);
                }
                Err(_told) => {}
            }
        }
        let peer = self.local_peer();
        let said = members.endpoint(&peer);
        let has_part = members.get(&peer).is_some() || members.config().is_door(&peer);
        if !has_part || addresses.is_empty() || said.is_some_and(|said| said.addresses == *addresses) {
            return;
        }
        // An earlier life of ours may have had a clock that ran ahead: the next number is greater all the same.
        let next = said.map_or(0, |said| said.sequence.saturating_add(1));
        let sequence = next.max(self.clock.now().unix_ms());
        let endpoint = Endpoint { network: self.network, peer, sequence, addresses: addresses.clone() };
        if let Err(error) = members.insert_endpoint(Signed::sign(endpoint, &self.key)) {
            warn!(%error, "the own addresses cannot be announced");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The members a state kept, everything verified again: a disk can be wrong, and operators come and go.
fn restore(state: &State, network: NetworkId) -> Result<Option<Members>, Error> {
    let Some(config) = &state.config else { return Ok(None) };
    let config = Signed::from_bytes(config).map_err(cosmic_ring::Error::from)?;
    let mut members = Members::new(config, network)?;
    let vouches: Result<Vec<_>, _> = state.vouches.iter().map(|bytes| Signed::from_bytes(bytes)).collect();
    // Records count by them.
    let mut dropped = members.vouch(vouches.map_err(cosmic_ring::Error::from)?)?.refused;
    for record in &state.members {
        let record = Signed::from_bytes(record).map_err(cosmic_ring::Error::from)?;
        dropped += usize::from(members.insert(record).is_err());
    }
    for endpoint in &state.endpoints {
        let endpoint = Signed::from_bytes(endpoint).map_err(cosmic_ring::Error::from)?;
        dropped += usize::from(members.insert_endpoint(endpoint).is_err());
    }
    if dropped > 0 {
        warn!(dropped, "some of what was kept of the network does not count any more");
    }
    Ok(Some(members))
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("network", &self.network).finish_non_exhaustive()
    }
}
