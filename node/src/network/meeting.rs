//! Meeting the other devices of a space: this device leaves a sealed card with its addresses at the gateway, and takes those
//! that others left. Whoever sees a card dials; the session that follows is that of any two devices.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cosmic_common::{
    address::Address,
    id::{PeerId, SpaceId},
    protocol::MEETING,
    record::Record as _,
};
use cosmic_custody::message::meeting::{MeetingAnswer, MeetingRequest, Seat};
use cosmic_net::{Transport, within};
use cosmic_runtime::{clock::Monotonic, exit::sentence, random, shutdown::Shutdown};
use cosmic_seal::body::{BodyOpener, BodySealer};
use cosmic_space::card::{CARD_ADDRESSES_MAX, Card};
use tokio::sync::{Notify, watch};

use super::opening::Error;
use crate::{
    error::Error as NodeError,
    event::{self, Event},
    node::{GatewaySession, Node, space_ids},
};

/// Devices of one space to which this one keeps sessions of its own accord; others may keep sessions to it.
const DEVICES_MAX: usize = 3;
/// How often a card is left again; it is given to others for three minutes. A gateway that refuses is asked as seldom.
const RENEW: Duration = Duration::from_secs(60);
/// How soon a card is left again when others could not be reached.
const RENEW_SOON: Duration = Duration::from_secs(3);
/// How long a gateway may take; it asks three replicas.
const PATIENCE: Duration = Duration::from_secs(6);

/// Who was met, by space.
#[derive(Debug)]
pub struct Meetings {
    tables: Mutex<BTreeMap<SpaceId, Table>>,
    changed: watch::Sender<u64>,
    wished: Notify,
}

/// Who was met on one space, and the seat that this run of the device takes there: no other space's, so that whoever keeps the
/// cards does not learn which spaces one device has.
#[derive(Debug)]
struct Table {
    seat: Seat,
    devices: BTreeMap<PeerId, Vec<Address>>,
}

impl Default for Table {
    fn default() -> Self {
        Self { seat: Seat(random::bytes()), devices: BTreeMap::new() }
    }
}

impl Default for Meetings {
    fn default() -> Self {
        Self { tables: Mutex::default(), changed: watch::Sender::new(0), wished: Notify::new() }
    }
}

impl Meetings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SpaceId, Table>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The devices of `space` that were met, with their addresses.
    #[must_use]
    pub fn of(&self, space: &SpaceId) -> BTreeMap<PeerId, Vec<Address>> {
        self.lock().get(space).map(|table| table.devices.clone()).unwrap_or_default()
    }

    /// The devices of `space` that were met.
    fn devices(&self, space: &SpaceId) -> Vec<PeerId> {
        self.lock().get(space).map(|table| table.devices.keys().copied().collect()).unwrap_or_default()
    }

    fn seat(&self, space: SpaceId) -> Seat {
        self.lock().entry(space).or_default().seat
    }

    /// Told whenever somebody is met, or gone.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A device could not be reached where it was: it may be elsewhere by now.
    pub fn wish(&self) {
        self.wished.notify_one();
    }

    fn set(&self, space: SpaceId, devices: BTreeMap<PeerId, Vec<Address>>) {
        let mut tables = self.lock();
        let table = tables.entry(space).or_default();
        let changed = table.devices != devices;
        table.devices = devices;
        drop(tables);
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn retain(&self, spaces: &BTreeSet<SpaceId>) {
        self.lock().retain(|space, _table| spaces.contains(space));
    }
}

/// The last meeting of a space, or try of one.
#[derive(Debug)]
struct Last {
    gateway: GatewaySession,
    addresses: Vec<Address>,
    at: Monotonic,
    failed: bool,
}

/// Meets others on every space with a gateway, until the shutdown.
pub async fn run(node: Node, shutdown: Shutdown) {
    let (mut sessions, mut addresses) = (node.sessions.watch(), node.net.watch_listening());
    let mut last: BTreeMap<SpaceId, Last> = BTreeMap::new();
    loop {
        sessions.mark_unchanged();
        addresses.mark_unchanged();
        // What was told before is seen by this look.
        let mut events = node.context.events.subscribe();
        if let Err(error) = meet_all(&node, &mut last).await {
            tracing::debug!(reason = sentence(&error), "the spaces cannot be read");
        }
        let pause = async {
            tokio::select! {
                changed = sessions.changed() => changed.is_ok(),
                changed = addresses.changed() => changed.is_ok(),
                moved = event::told(&mut events, |event| matches!(event, Event::Spaces)) => moved,
                () = node.meetings.wished.notified() => {
                    node.clock().sleep(RENEW_SOON).await;
                    last.retain(|_space, last| last.failed);
                    true
                }
                () = node.clock().sleep(RENEW) => true,
            }
        };
        if shutdown.unless(pause).await != Some(true) {
            return;
        }
    }
}

/// Leaves the cards that are due on every space with a gateway.
async fn meet_all(node: &Node, last: &mut BTreeMap<SpaceId, Last>) -> Result<(), NodeError> {
    let spaces: BTreeSet<SpaceId> = node.read(space_ids).await?.into_iter().collect();
    last.retain(|space, _last| spaces.contains(space));
    node.meetings.retain(&spaces);
    for space in spaces {
        let (Some(gateway), addresses) = (node.sessions.get(&space), presentable(node.net.listening()))
        else {
            continue;
        };
        let now = node.clock().monotonic();
        let same = |last: &Last| {
            last.gateway.session == gateway.session
                && last.addresses == addresses
                && now.since(last.at) < RENEW
        };
        if last.get(&space).is_some_and(same) {
            continue;
        }
        let failed = match meet(node, space, gateway, addresses.clone()).await {
            // An event tells when they come.
            Ok(None) => continue,
            Ok(Some(devices)) => {
                // Whoever dials one of them right now goes on with these.
                for (device, addresses) in &devices {
                    if let Err(error) = node.net.add_addresses(*device, addresses).await {
                        tracing::debug!(%error, "the network ends");
                    }
                }
                node.meetings.set(space, devices);
                false
            }
            Err(error) => {
                tracing::debug!(space = %space.short(), reason = sentence(&error), "nobody was met");
                true
            }
        };
        last.insert(space, Last { gateway, addresses, at: now, failed });
    }
    Ok(())
}

/// Leaves the own card and reads those of others; nothing while the secrets that a ticket promises have not come.
async fn meet(
    node: &Node,
    space: SpaceId,
    gateway: GatewaySession,
    addresses: Vec<Address>,
) -> Result<Option<BTreeMap<PeerId, Vec<Address>>>, Error> {
    let own = Card { peer: node.context.device.peer(), addresses, stated: node.clock().now() };
    let secret = node
        .write(move |core, connection| {
            core.with_space(connection, &space, |_core, space| {
                Ok(space.secrets.as_ref().map(cosmic_seal::secret::SpaceSecrets::meeting_secret))
            })
        })
        .await?;
    let Some(secret) = secret else { return Ok(None) };
    let core = [b"cosmic card 1", space.as_bytes().as_slice()].concat();
    let card = BodySealer::new().and_then(|mut sealer| sealer.seal(&secret, &core, &own.to_bytes()));
    let card = card.map_err(|error| Error::Node(error.into()))?;
    let seat = node.meetings.seat(space);
    let request = MeetingRequest::Meet { session: gateway.session, seat, card };
    let asked = async {
        let mut stream = node.net.open(gateway.gateway, MEETING, PATIENCE).await?;
        stream.send(&request.to_bytes()).await?;
        stream.flush().await?;
        stream.recv(MeetingAnswer::LIMIT).await
    };
    let frame = within("meeting the devices of a space", PATIENCE, asked).await?;
    let frame = frame.ok_or(Error::Protocol("it closed the stream"))?;
    let cards = match MeetingAnswer::from_bytes(&frame) {
        Ok(MeetingAnswer::Cards(cards)) => cards,
        Ok(MeetingAnswer::Refused(refusal)) => return Err(refusal.into()),
        Err(_malformed) => return Err(Error::Protocol("it sent a malformed answer")),
    };
    let mut opener = BodyOpener::new().map_err(|error| Error::Node(error.into()))?;
    let opened = cards.iter().filter_map(|card| opener.open(&secret, &core, card).ok());
    let mut cards: Vec<Card> = opened.filter_map(|plain| Card::from_bytes(&plain).ok()).collect();
    // The newest card of a device that took a new seat counts.
    cards.sort_unstable_by_key(|card| card.stated);
    let others = cards.into_iter().filter(|card| card.peer != own.peer);
    Ok(Some(others.map(|card| (card.peer, card.addresses)).collect()))
}

/// The devices of `space` to keep sessions with: those whose ids lie nearest to the own one, so that the devices of a crowd
/// do not all choose the same.
#[must_use]
pub fn chosen(node: &Node, space: &SpaceId) -> Vec<PeerId> {
    let own = node.context.device.peer();
    let mut devices = node.meetings.devices(space);
    devices.sort_unstable_by_key(|device| distance(&own, device));
    devices.truncate(DEVICES_MAX);
    devices
}

fn distance(own: &PeerId, other: &PeerId) -> [u8; 32] {
    let mut distance = *other.as_bytes();
    distance.iter_mut().zip(own.as_bytes()).for_each(|(other, own)| *other ^= own);
    distance
}

/// What to tell others: addresses of the own local network and of relays; loopback only if there is nothing else.
fn presentable(addresses: Vec<Address>) -> Vec<Address> {
    let (circuits, direct): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| Transport::of(address) == Some(Transport::Relay));
    let direct = cosmic_membership::presentable(direct);
    let kept = CARD_ADDRESSES_MAX.saturating_sub(circuits.len().min(CARD_ADDRESSES_MAX / 2));
    direct.into_iter().take(kept).chain(circuits).take(CARD_ADDRESSES_MAX).collect()
}
