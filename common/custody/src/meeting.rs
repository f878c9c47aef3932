//! Where the devices of spaces are, as they say themselves: sealed cards, kept in memory for some minutes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use cosmic_common::{id::SpaceId, time::Timestamp};

use crate::message::meeting::{CARDS_MAX, Seat};

/// How long a card is given to others; devices renew theirs more often.
pub const CARD_LASTS: Duration = Duration::from_secs(180);
/// Bytes of all cards together; beyond that the oldest goes.
pub const BYTES_MAX: usize = 32 * 1024 * 1024;

/// The cards. Nothing of them is durable: devices leave them again.
#[derive(Debug, Default)]
pub struct Meetings {
    spaces: HashMap<SpaceId, BTreeMap<Seat, Noted>>,
    /// Every card by its age.
    order: BTreeSet<(Timestamp, SpaceId, Seat)>,
    bytes: usize,
}

#[derive(Debug)]
struct Noted {
    at: Timestamp,
    card: Vec<u8>,
}

impl Meetings {
    /// Notes the card of `seat`, and gives those of the others of its space.
    pub fn meet(&mut self, space: SpaceId, seat: Seat, card: Vec<u8>, now: Timestamp) -> Vec<Vec<u8>> {
        self.forget_old(now);
        self.remove(&space, &seat);
        let others = self.spaces.entry(space).or_default();
        if others.len() >= CARDS_MAX
            && let Some(oldest) = others.iter().min_by_key(|(_, noted)| noted.at).map(|(seat, _)| *seat)
        {
            self.remove(&space, &oldest);
        }
        let others = self.spaces.entry(space).or_default();
        let cards = others.values().map(|noted| noted.card.clone()).collect();
        self.bytes += card.len();
        self.order.insert((now, space, seat));
        others.insert(seat, Noted { at: now, card });
        while self.bytes > BYTES_MAX
            && let Some((_, space, seat)) = self.order.pop_first()
        {
            self.remove(&space, &seat);
        }
        cards
    }

    /// How many cards there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn forget_old(&mut self, now: Timestamp) {
        while let Some((at, space, seat)) = self.order.first().copied()
            && now.since(at) >= CARD_LASTS
        {
            self.remove(&space, &seat);
        }
    }

    fn remove(&mut self, space: &SpaceId, seat: &Seat) {
        let Some(seats) = self.spaces.get_mut(space) else { return };
        if let Some(gone) = seats.remove(seat) {
            self.order.remove(&(gone.at, *space, *seat));
            self.bytes -= gone.card.len();
        }
        if seats.is_empty() {
            self.spaces.remove(space);
        }
    }
}
