//! `/cosmic/ring/1`: two peers compare what they know of a network and give each other what is missing.
//!
//! Symmetrical; one exchange per stream. Each side goes through these states by what the other sends:
//!
//! ```text
//! Greeting ──Summary, the same──▶ Finished(Equal)
//!    │
//!    ├─Summary, its configuration newer──▶ Outdated ──Config──▶ Comparing
//!    │                                                send Inventory
//!    └─Summary, else──▶ Comparing ──Inventory──▶ Taking ──Vouches… Records… Endpoints… Sent──▶ Closing ──Summary──▶ Finished
//!      send [Config] Inventory    send Vouches… Records… Endpoints… Sent      send Summary
//! ```
//!
//! Who has the older configuration says what it has only under the newer one: a record that it drops on the way
//! might otherwise hide one that counts.

use std::{cmp::Ordering, collections::BTreeMap};

use cosmic_common::{
    id::{Hash, OperatorId, PeerId},
    limit::MESSAGE_MAX_BYTES,
    record::{Record, Shape},
};
use cosmic_identity::signed::Signed;
use minicbor::{Decode, Encode};

use crate::{
    config::{self, DOORS_MAX},
    endpoint::Edition,
    error::Error,
    list,
    members::{Inserted, MEMBERS_MAX, Members, Version},
    trust::LISTS_MAX,
    vouches::Vouches,
};

/// What the records of one message may take together; the rest is for their frame.
const RECORDS_MAX_BYTES: usize = MESSAGE_MAX_BYTES - 16 * 1024;

/// Records, endpoints and vouches that a peer may send in one exchange.
const RECORDS_LEFT: usize = 2 * MEMBERS_MAX + DOORS_MAX + LISTS_MAX;

/// What one peer knows, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Summary {
    /// The version of its configuration.
    #[n(0)]
    pub version: u64,
    /// The plain hash of its signed configuration.
    #[n(1)]
    pub config: Hash,
    /// The digest of its member records.
    #[n(2)]
    pub members: Hash,
    /// The digest of its endpoints.
    #[n(3)]
    pub endpoints: Hash,
    /// The digest of the vouches that count, if there are any.
    #[n(4)]
    pub vouches: Option<Hash>,
}

/// A message of the exchange.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum RingMessage {
    /// First and last: what the sender knows.
    #[n(0)]
    Summary(#[n(0)] Summary),
    /// The encoded signed configuration, if the sender's is newer.
    #[n(1)]
    Config(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Which records, endpoints and vouches the sender has.
    #[n(2)]
    Inventory(
        #[n(0)] BTreeMap<PeerId, Version>,
        #[n(1)] BTreeMap<PeerId, Edition>,
        #[cbor(n(2), skip_if = "BTreeMap::is_empty")] BTreeMap<OperatorId, Edition>,
    ),
    /// Encoded signed records the receiver did not have.
    #[n(3)]
    Records(#[cbor(n(0), with = "list")] Vec<Vec<u8>>),
    /// Encoded signed endpoints the receiver did not have.
    #[n(4)]
    Endpoints(#[cbor(n(0), with = "list")] Vec<Vec<u8>>),
    /// That was all.
    #[n(5)]
    Sent,
    /// Encoded signed vouches the receiver did not have; they come before records, which may count by them.
    #[n(6)]
    Vouches(#[cbor(n(0), with = "list")] Vec<Vec<u8>>),
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both know the same.
    Equal,
    /// Something changed meanwhile, or one side refused what the other believes: try again later.
    Differ,
}

/// What a message led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// To send, in this order.
    pub send: Vec<RingMessage>,
    /// Whether a newer configuration was taken over.
    pub adopted: bool,
    /// How many records, endpoints and vouches were taken in.
    pub inserted: usize,
    /// How many were not, because their operator or peer has no part here or the ring is full.
    pub refused: usize,
    /// Set when the exchange is over; the stream may be closed once `send` is out.
    pub outcome: Option<Outcome>,
}

/// One exchange, seen from one side.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    /// What we said last.
    said: Summary,
    records_left: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Outdated,
    Comparing,
    Taking,
    Closing,
    Finished,
}

impl Exchange {
    /// Begins an exchange; the message is to be sent at once.
    #[must_use]
    pub fn open(members: &Members) -> (Self, RingMessage) {
        let said = summary(members);
        let exchange = Self { state: State::Greeting, said, records_left: RECORDS_LEFT };
        (exchange, RingMessage::Summary(said))
    }

    /// Takes a message of the other side in.
    ///
    /// # Errors
    /// [`Error`] if the peer sends what it must not; the stream should be reset, and nothing of that message counts
    /// but the records before the bad one.
    pub fn handle(&mut self, members: &mut Members, message: RingMessage) -> Result<Step, Error> {
        let mut step = Step::default();
        match (self.state, message) {
            (State::Greeting, RingMessage::Summary(theirs)) => self.compare(members, theirs, &mut step),
            (State::Outdated, RingMessage::Config(config)) => {
                step.adopted = members.adopt(Signed::from_bytes(&config)?)?;
                self.take_stock(members, &mut step);
            }
            (State::Comparing, RingMessage::Inventory(versions, editions, vouches)) => {
                let vouches = members.vouches_newer_than(&vouches).map(Signed::to_bytes);
                step.send = batches(vouches, RingMessage::Vouches);
                let records = members.newer_than(&versions).map(Signed::to_bytes);
                step.send.extend(batches(records, RingMessage::Records));
                let endpoints = members.endpoints_newer_than(&editions).map(Signed::to_bytes);
                step.send.extend(batches(endpoints, RingMessage::Endpoints));
                step.send.push(RingMessage::Sent);
                self.state = State::Taking;
            }
            (State::Taking, RingMessage::Vouches(vouches)) => {
                self.count(vouches.len())?;
                let lists: Result<Vec<_>, _> =
                    vouches.iter().map(|bytes| Signed::<Vouches>::from_bytes(bytes)).collect();
                let taken = members.vouch(lists?)?;
                step.inserted += taken.inserted;
                step.refused += taken.refused;
            }
            (State::Taking, RingMessage::Records(records)) => {
                self.take(&records, &mut step, |bytes| members.insert(Signed::from_bytes(bytes)?))?;
            }
            (State::Taking, RingMessage::Endpoints(endpoints)) => {
                self.take(&endpoints, &mut step, |bytes| {
                    members.insert_endpoint(Signed::from_bytes(bytes)?)
                })?;
            }
            (State::Taking, RingMessage::Sent) => {
                self.said = summary(members);
                step.send.push(RingMessage::Summary(self.said));
                self.state = State::Closing;
            }
            (State::Closing, RingMessage::Summary(theirs)) => {
                self.finish(if theirs == self.said { Outcome::Equal } else { Outcome::Differ }, &mut step);
            }
            (_, message) => return Err(Error::OutOfTurn { found: message.name() }),
        }
        Ok(step)
    }

    /// Both sides compare the same two summaries, so both come to the same end.
    fn compare(&mut self, members: &Members, theirs: Summary, step: &mut Step) {
        if theirs == self.said {
            return self.finish(Outcome::Equal, step);
        }
        match (self.said.version, self.said.config).cmp(&(theirs.version, theirs.config)) {
            Ordering::Less => self.state = State::Outdated,
            Ordering::Equal => self.take_stock(members, step),
            Ordering::Greater => {
                step.send.push(RingMessage::Config(members.signed_config().to_bytes()));
                self.take_stock(members, step);
            }
        }
    }

    fn take_stock(&mut self, members: &Members, step: &mut Step) {
        let vouches = members.vouches_editions();
        step.send.push(RingMessage::Inventory(members.inventory(), members.editions(), vouches));
        self.state = State::Comparing;
    }

    fn take(
        &mut self,
        records: &[Vec<u8>],
        step: &mut Step,
        mut insert: impl FnMut(&[u8]) -> Result<Inserted, Error>,
    ) -> Result<(), Error> {
        self.count(records.len())?;
        for record in records {
            match insert(record) {
                Ok(Inserted::New | Inserted::Newer) => step.inserted += 1,
                Ok(Inserted::Known) => {}
                Err(Error::NotAdmitted { .. } | Error::Stranger(_) | Error::Full) => step.refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// An empty message counts as one record, or a peer could send such without end.
    fn count(&mut self, records: usize) -> Result<(), Error> {
        let left = self.records_left.checked_sub(records.max(1));
        self.records_left = left.ok_or(Error::OutOfTurn { found: "too many records" })?;
        Ok(())
    }

    fn finish(&mut self, outcome: Outcome, step: &mut Step) {
        self.state = State::Finished;
        step.outcome = Some(outcome);
    }
}

impl RingMessage {
    const fn name(&self) -> &'static str {
        match self {
            Self::Summary(_) => "a summary",
            Self::Config(_) => "a configuration",
            Self::Inventory(..) => "an inventory",
            Self::Records(_) => "records",
            Self::Endpoints(_) => "endpoints",
            Self::Sent => "the end of its records",
            Self::Vouches(_) => "vouches",
        }
    }
}

fn summary(members: &Members) -> Summary {
    let config = members.signed_config();
    Summary {
        version: config.unverified().version,
        config: config::mark(config),
        members: members.digest(),
        endpoints: members.endpoints_digest(),
        vouches: members.vouches_digest(),
    }
}

/// As few messages as the records fit into.
fn batches(
    records: impl Iterator<Item = Vec<u8>>,
    message: impl Fn(Vec<Vec<u8>>) -> RingMessage,
) -> Vec<RingMessage> {
    let (mut messages, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for record in records {
        // A byte string's head has at most five bytes.
        let size = record.len() + 5;
        if bytes + size > RECORDS_MAX_BYTES {
            messages.push(message(std::mem::take(&mut batch)));
            bytes = 0;
        }
        bytes += size;
        batch.push(record);
    }
    if !batch.is_empty() {
        messages.push(message(batch));
    }
    messages
}

impl Record for RingMessage {
    const NAME: &'static str = "ring message";
    const LIMIT: usize = MESSAGE_MAX_BYTES;
    const SHAPE: Shape = Shape::Value;
}
