//! The driver: whom to ask and when. Patrols repair what pushes missed.
//!
//! Who serves (supernodes, bootstrap nodes) compares with all its neighbours in each patrol, which also keeps
//! the connections to them, and pushes changes at once. Who does not (light nodes) asks one peer per patrol.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cosmic_common::{address::Address, id::PeerId};
use cosmic_identity::signed::Signed;
use cosmic_net::{Direction, Event};
use cosmic_ring::{Presence, State};
use cosmic_runtime::{clock::Monotonic, random, shutdown::Shutdown};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tracing::debug;

use crate::{RingView, link::Link, listings, view::presentable};

/// The time between two patrols.
const PATROL: Duration = Duration::from_secs(30);
/// The time between two patrols of a supernode whose operator is not admitted: nobody tells it that it is now.
const WAITING: Duration = Duration::from_secs(3);
/// Patrols of many peers must not fall together: each is later by up to this.
const PATROL_JITTER: Duration = Duration::from_secs(3);
/// The time to the next patrol when nobody answered, doubled until it is a full patrol.
const RETRY: Duration = Duration::from_millis(500);
/// Members a serving peer stays connected to; in larger rings a sample does, since changes pass from hand to hand.
const NEIGHBOURS_MAX: usize = 64;
/// Peers a change is pushed to by each who learns it: enough to reach 4,096 members in three steps.
const PUSH_MAX: usize = 16;
/// Members a peer asks in a patrol when no connection stands, besides a bootstrap node.
const ASKED_MAX: usize = 2;
/// Patrols in a row in which nobody of the ring answered, before the directory is asked for somebody: 3.5 s.
const ALONE_PATROLS: u32 = 4;
/// Of those found there, so many are asked.
const FOUND_ASKED_MAX: usize = 6;
/// How often who serves says in the directory that it is there: four times before it would be forgotten.
const PRESENT_EVERY: Duration = Duration::from_secs(30 * 60);

/// Whom to ask, and who is being asked.
pub(crate) struct Driver {
    link: Arc<Link>,
    serve: bool,
    advertise: Vec<Address>,
    running: FuturesUnordered<BoxFuture<'static, (PeerId, bool)>>,
    /// Who is being asked, and whether to ask again since something changed meanwhile.
    busy: BTreeMap<PeerId, bool>,
    /// The ring as it was when somebody was told last, and whom we keep in touch with in it.
    told: Option<Arc<RingView>>,
    neighbours: BTreeSet<PeerId>,
    /// The addresses the network was told.
    fed: BTreeMap<PeerId, Vec<Address>>,
    /// Whether anybody answered since the last patrol.
    answered: bool,
    retry: Duration,
    /// What is asked of the directory.
    directory: FuturesUnordered<BoxFuture<'static, Told>>,
    /// When to say there that we are here, and where we said we were.
    present_at: Monotonic,
    present: Vec<Address>,
    /// Patrols in a row that found nobody of the ring, and whether the directory is asked for somebody.
    alone: u32,
    searching: bool,
}

/// What the directory told.
enum Told {
    /// Whether it lists us.
    Listed(bool),
    /// Whom it lists.
    Found(Vec<Presence>),
}

impl Driver {
    pub(crate) fn new(link: Arc<Link>, serve: bool, advertise: Vec<Address>) -> Self {
        let present_at = link.clock.monotonic();
        Self {
            link,
            serve,
            advertise,
            running: FuturesUnordered::new(),
            busy: BTreeMap::new(),
            told: None,
            neighbours: BTreeSet::new(),
            fed: BTreeMap::new(),
            answered: false,
            retry: RETRY,
            directory: FuturesUnordered::new(),
            present_at,
            present: Vec::new(),
            alone: 0,
            searching: false,
        }
    }

    /// Asks and tells until the shutdown.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let clock = self.link.clock.clone();
        let mut events = self.link.net.events();
        let mut views = self.link.ledger.watch();
        views.mark_changed();
        let mut patrol = clock.monotonic();
        loop {
            tokio::select! {
                biased;
                () = shutdown.triggered() => break,
                Some((peer, well)) = self.running.next() => self.on_met(peer, well),
                Some(told) = self.directory.next() => self.on_told(told).await,
                changed = views.changed() => {
                    if changed.is_err() { break }
                    let view = views.borrow_and_update().clone();
                    if let Some(view) = view { self.on_change(view).await; }
                }
                event = events.next() => match event {
                    Some(Event::Connected { peer, direction: Direction::Outbound, .. }) => self.on_connected(peer),
                    Some(_) => {}
                    None => break,
                },
                () = clock.sleep_until(patrol) => patrol = clock.monotonic().after(self.on_patrol().await),
            }
        }
    }

    fn on_met(&mut self, peer: PeerId, well: bool) {
        let again = self.busy.remove(&peer).unwrap_or_default();
        self.answered |= well;
        if well && again {
            self.ask(peer);
        }
    }

    /// Learns new addresses, meets newcomers, and pushes the change to some who are connected; whoever was put
    /// out by it hears it too.
    async fn on_change(&mut self, view: Arc<RingView>) {
        self.feed(&view.endpoints).await;
        // Who has retired still moves what it kept.
        let members =
            view.members.records().map(Signed::unverified).filter(|member| member.state != State::Lost);
        self.link.net.set_ring(members.map(|member| member.peer).collect());
        if !self.serve {
            return;
        }
        self.say_here();
        let neighbours = self.neighbours(&view);
        let mut asked: BTreeSet<PeerId> = neighbours.difference(&self.neighbours).copied().collect();
        self.neighbours = neighbours;
        let mut connected = self.link.net.connected().await.unwrap_or_default();
        let told = self.told.replace(Arc::clone(&view));
        connected
            .retain(|peer| has_part(&view, peer) || told.as_deref().is_some_and(|told| has_part(told, peer)));
        asked.extend(some(connected, PUSH_MAX));
        for peer in asked {
            self.ask(peer);
        }
    }

    /// Whoever was just reached may know more.
    fn on_connected(&mut self, peer: PeerId) {
        let known = self.link.ledger.view().is_some_and(|view| has_part(&view, &peer));
        if known && !self.busy.contains_key(&peer) {
            self.ask(peer);
        }
    }

    /// Asks this patrol's peers; how long until the next patrol.
    async fn on_patrol(&mut self) -> Duration {
        self.say_where();
        self.say_here();
        let doors = self.link.ledger.doors();
        self.feed(&doors).await;
        let doors: Vec<PeerId> = doors.into_keys().collect();
        let mut in_touch = true;
        let asked = match self.link.ledger.view() {
            None => doors,
            Some(view) if self.serve && !self.link.ledger.is_waiting() => {
                self.neighbours(&view).into_iter().chain(doors).collect()
            }
            Some(view) => {
                let connected = self.connected_in(&view).await;
                in_touch = connected.iter().any(|peer| view.members.is_active(peer));
                one_of(&view, connected, doors)
            }
        };
        for peer in asked.into_iter().collect::<BTreeSet<_>>() {
            if !self.busy.contains_key(&peer) {
                self.ask(peer);
            }
        }
        self.wait(in_touch)
    }

    /// How long until the next patrol: not long if nobody answered since the last one, or nobody but a bootstrap node, who may
    /// hear any moment where the members are now.
    fn wait(&mut self, in_touch: bool) -> Duration {
        let in_touch = std::mem::take(&mut self.answered) && in_touch;
        self.search_if_alone(in_touch);
        if in_touch {
            self.retry = RETRY;
            let patrol = if self.link.ledger.is_waiting() { WAITING } else { PATROL };
            return patrol + PATROL_JITTER.mul_f64(fraction());
        }
        let wait = self.retry;
        self.retry = (self.retry * 2).min(PATROL);
        wait
    }

    /// Says in the directory that we are here, when it is time to or we have moved.
    fn say_here(&mut self) {
        let now = self.link.clock.monotonic();
        let Some((presence, _region)) = self.link.ledger.presence().filter(|_| self.serve) else { return };
        let moved = self.present != presence.unverified().addresses;
        if now < self.present_at && !moved {
            return;
        }
        self.present.clone_from(&presence.unverified().addresses);
        self.present_at = now.after(PRESENT_EVERY);
        let (net, ledger) = (self.link.net.clone(), Arc::clone(&self.link.ledger));
        self.directory.push(Box::pin(async move { Told::Listed(listings::publish(net, ledger).await) }));
    }

    /// Looks for somebody in the directory when the ring has been silent for a while.
    fn search_if_alone(&mut self, in_touch: bool) {
        self.link.ledger.set_in_touch(in_touch && self.serve);
        self.alone = if in_touch { 0 } else { self.alone.saturating_add(1) };
        if self.alone < ALONE_PATROLS || self.searching {
            return;
        }
        self.searching = true;
        let (net, ledger) = (self.link.net.clone(), Arc::clone(&self.link.ledger));
        self.directory.push(Box::pin(async move { Told::Found(listings::find(net, ledger).await) }));
    }

    async fn on_told(&mut self, told: Told) {
        match told {
            Told::Listed(true) => {}
            // Nobody of the directory was known yet: again with the next patrol.
            Told::Listed(false) => self.present_at = self.link.clock.monotonic(),
            Told::Found(found) => {
                self.searching = false;
                let own = self.link.ledger.local_peer();
                let found: BTreeMap<PeerId, Vec<Address>> =
                    found.into_iter().map(|presence| (presence.peer, presence.addresses)).collect();
                self.link.metrics.found(found.len());
                self.feed(&found).await;
                let others = found.into_keys().filter(|peer| *peer != own).collect();
                for peer in some(others, FOUND_ASKED_MAX) {
                    self.ask(peer);
                }
            }
        }
    }

    /// The members and bootstrap nodes a serving peer keeps in touch with.
    fn neighbours(&self, view: &RingView) -> BTreeSet<PeerId> {
        let own = self.link.ledger.local_peer();
        let members = view.members.sample(NEIGHBOURS_MAX, own.as_bytes());
        let members = members.into_iter().map(|record| record.unverified().peer);
        let doors = view.config.unverified().doors.iter().map(|door| door.peer);
        members.chain(doors).filter(|peer| *peer != own).collect()
    }

    /// Who is connected now and has a part in the network.
    async fn connected_in(&mut self, view: &RingView) -> Vec<PeerId> {
        let mut connected = self.link.net.connected().await.unwrap_or_default();
        connected.retain(|peer| has_part(view, peer));
        connected
    }

    /// Compares with `peer` now, or again as soon as the comparison under way is over.
    fn ask(&mut self, peer: PeerId) {
        if peer == self.link.ledger.local_peer() || self.link.is_shunned(&peer) {
            return;
        }
        if let Some(again) = self.busy.get_mut(&peer) {
            *again = true;
            return;
        }
        self.busy.insert(peer, false);
        let link = Arc::clone(&self.link);
        self.running.push(Box::pin(async move { (peer, link.meet(peer).await) }));
    }

    /// Tells the network where peers may be reached, as far as that is new.
    async fn feed(&mut self, addresses: &BTreeMap<PeerId, Vec<Address>>) {
        let own = self.link.ledger.local_peer();
        for (peer, addresses) in addresses {
            if *peer == own || self.fed.get(peer) == Some(addresses) {
                continue;
            }
            if let Err(error) = self.link.net.add_addresses(*peer, addresses).await {
                debug!(%error, "addresses were not taken");
                return;
            }
            self.fed.insert(*peer, addresses.clone());
        }
    }

    /// Says where we may be reached, if we serve.
    fn say_where(&self) {
        if self.serve {
            let told =
                if self.advertise.is_empty() { self.link.net.listening() } else { self.advertise.clone() };
            self.link.ledger.reside(presentable(told));
        }
    }
}

fn has_part(view: &RingView, peer: &PeerId) -> bool {
    view.members.is_active(peer) || view.config.unverified().is_door(peer)
}

/// One of those who are connected; if no member is, a few members and a bootstrap node.
fn one_of(view: &RingView, connected: Vec<PeerId>, doors: Vec<PeerId>) -> Vec<PeerId> {
    // A bootstrap node that is connected may have no time for more than an answer: the members it named know as much.
    if connected.iter().any(|peer| view.members.is_active(peer)) {
        return some(connected, 1);
    }
    let reachable = |peer: &PeerId| view.endpoints.contains_key(peer);
    let members = view.members.active().map(|member| member.peer).filter(reachable).collect();
    some(members, ASKED_MAX).into_iter().chain(some(doors, 1)).collect()
}

/// Up to `count` of `peers`, by chance.
fn some(mut peers: Vec<PeerId>, count: usize) -> Vec<PeerId> {
    let count = count.min(peers.len());
    (0..count)
        .map(|_| {
            let index = u64::from_be_bytes(random::bytes()) % peers.len() as u64;
            peers.swap_remove(usize::try_from(index).unwrap_or_default())
        })
        .collect()
}

/// A number from 0 to 1, by chance.
fn fraction() -> f64 {
    f64::from(u16::from_be_bytes(random::bytes())) / f64::from(u16::MAX)
}
