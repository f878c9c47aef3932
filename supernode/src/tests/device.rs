//! A device for tests: it writes entries, syncs them with a gateway, and counts receipts.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, EpochId, Incarnation, LogId, PeerId, SpaceId},
    protocol,
    record::Record as _,
    time::{HybridTime, Timestamp},
};
use cosmic_custody::{
    Promise, Receipt, Work,
    message::{refusal::Refusal, space::SpaceFrame},
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_log::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::Kind,
    open::Open,
};
use cosmic_net::{FRAME_MAX_BYTES, Handle, MemoryNetwork, RefuseAll, Stream};
use cosmic_runtime::clock::{Clock, Monotonic};
use cosmic_space::{
    genesis::{Genesis, Policy, membership_channel},
    record::MembershipRecord,
    session::SessionProof,
};
use cosmic_sync::{
    config::Config,
    door::{End, Growth, Input, Outcome, Output, Report, Summary, Timer},
    message::{Frame, Interest, Message, Run},
    session::Session as Machine,
};

use super::world::key;
use crate::outbox::Outbox;

/// A log as a device holds it.
#[derive(Debug)]
struct Log {
    channel: ChannelId,
    frames: Vec<Frame>,
    head: Head,
}

/// What a device answers to a gateway that wants work.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Honest,
    Wrong,
    None,
}

/// A device.
pub(super) struct Device {
    pub(super) key: SecretKey,
    pub(super) space: SpaceId,
    pub(super) net: Handle,
    pub(super) writer: SecretKey,
    delegation: Option<EntryId>,
    genesis: Option<Genesis>,
    logs: BTreeMap<LogId, Log>,
    own: BTreeMap<ChannelId, LogState>,
    life: u8,
    pub(super) receipts: Vec<Receipt>,
    pub(super) equal: u64,
}

impl Device {
    /// A device that founds a space.
    pub(super) fn founder(network: &MemoryNetwork, n: u8) -> Self {
        Self::founder_with(network, n, Policy::default())
    }

    /// The same, of a space with this policy.
    pub(super) fn founder_with(network: &MemoryNetwork, n: u8, policy: Policy) -> Self {
        let writer = key(n ^ 0x80);
        let genesis = Genesis { root: writer.writer_id(), nonce: [n; 16], policy };
        let mut device = Self::member(network, n, genesis.space_id(), writer, None);
        let founding = MembershipRecord::Genesis(genesis.clone()).to_bytes();
        device.genesis = Some(genesis);
        device.write(membership_channel(&device.space), Kind::Membership, founding);
        device
    }

    /// A device of a space that others founded.
    pub(super) fn member(
        network: &MemoryNetwork,
        n: u8,
        space: SpaceId,
        writer: SecretKey,
        delegation: Option<EntryId>,
    ) -> Self {
        let key = key(n);
        let net = network.join(key.peer_id(), &[], std::sync::Arc::new(RefuseAll));
        let (logs, own, receipts) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let life = key.public()[0];
        Self { key, space, net, writer, delegation, genesis: None, logs, own, life, receipts, equal: 0 }
    }

    /// Writes an entry, and opens the log first if need be.
    pub(super) fn write(&mut self, channel: ChannelId, kind: Kind, body: Vec<u8>) -> Entry {
        self.write_with(channel, Draft::new(kind, HybridTime::default()), body)
    }

    /// The same, with clear fields.
    pub(super) fn write_with(&mut self, channel: ChannelId, mut draft: Draft, body: Vec<u8>) -> Entry {
        if !self.own.contains_key(&channel) {
            let open = Open {
                space: self.space,
                writer: self.writer.writer_id(),
                channel,
                incarnation: Incarnation::from_bytes([self.life; 16]),
                delegation: self.delegation,
            };
            let (state, entry) = open_log(open, HybridTime::default(), &self.writer).unwrap();
            self.own.insert(channel, state);
            self.keep(channel, &entry);
        }
        let state = self.own.get_mut(&channel).unwrap();
        draft.epoch = draft.kind.is_sealed().then(|| EpochId::from_bytes([7; 32]));
        let entry = append(state, draft, &self.writer, |_core| body).unwrap();
        state.extend(&entry);
        self.keep(channel, &entry);
        entry
    }

    /// Writes into another log of the channel from now on, as after a restart.
    pub(super) fn restart(&mut self, channel: ChannelId, life: u8) {
        self.own.remove(&channel);
        self.life = life;
    }

    /// The entries of a channel that are here.
    pub(super) fn entries(&self, channel: &ChannelId) -> Vec<Entry> {
        let logs = self.logs.values().filter(|log| log.channel == *channel);
        logs.flat_map(|log| &log.frames).map(|frame| Entry::from_bytes(frame).unwrap()).collect()
    }

    /// The entry that opened the log of `entry`.
    pub(super) fn opening(&self, entry: &Entry) -> Entry {
        Entry::from_bytes(&self.logs[&entry.core().log].frames[0]).unwrap()
    }

    /// The next entry of our log, signed by somebody else.
    pub(super) fn forge(&mut self, channel: ChannelId, forger: &SecretKey) -> Entry {
        let mut draft = Draft::new(Kind::Change, HybridTime::default());
        draft.epoch = Some(EpochId::from_bytes([7; 32]));
        append(&self.own[&channel], draft, forger, |_core| b"forged".to_vec()).unwrap()
    }

    fn keep(&mut self, channel: ChannelId, entry: &Entry) {
        let head = Head { seq: entry.core().seq, entry: entry.id() };
        let log =
            self.logs.entry(entry.core().log).or_insert_with(|| Log { channel, frames: Vec::new(), head });
        log.head = head;
        log.frames.push(Frame::from(entry.as_bytes()));
    }

    /// Entries of a channel that are here.
    pub(super) fn count(&self, channel: &ChannelId) -> usize {
        self.logs.values().filter(|log| log.channel == *channel).map(|log| log.frames.len()).sum()
    }

    /// The holders that promise to keep an entry, as far as receipts came.
    pub(super) fn keepers(&self, entry: &Entry, promise: Promise) -> Vec<PeerId> {
        let covers = |receipt: &&Receipt| match receipt.held {
            cosmic_custody::Held::Log { log, head, .. } => {
                log == entry.core().log && head.seq >= entry.core().seq
            }
            _ => false,
        };
        let mut peers: Vec<_> = self
            .receipts
            .iter()
            .filter(|receipt| receipt.promise == promise)
            .filter(covers)
            .map(|receipt| receipt.holder)
            .collect();
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// Asks a gateway to open the space, with a proof by `signer` and this answer if work is wanted; what it says.
    pub(super) async fn knock(
        &self,
        gateway: &Handle,
        signer: &SecretKey,
        answer: Answer,
    ) -> (Stream, Option<SpaceFrame>) {
        let server = gateway.local_peer();
        self.net.add_addresses(server, &gateway.listening()).await.unwrap();
        let mut stream = self.net.open(server, protocol::SPACE, Duration::from_secs(5)).await.unwrap();
        let challenge = stream.recv(FRAME_MAX_BYTES).await.unwrap().unwrap();
        let SpaceFrame::Challenge { nonce, work_bits } = SpaceFrame::from_bytes(&challenge).unwrap() else {
            panic!("a challenge comes first")
        };
        let client = self.key.peer_id();
        let work = work_bits.map(|bits| Work { client, server, nonce, bits });
        let answer = work.and_then(|work| match answer {
            Answer::Honest => work.answer(),
            Answer::Wrong => (0..).find(|answer| !work.is_done_by(*answer)),
            Answer::None => None,
        });
        let proof = SessionProof {
            space: self.space,
            delegation: self.delegation,
            key: self.writer.writer_id(),
            client,
            server,
            nonce,
            protocol: protocol::SPACE.as_str().to_owned(),
            genesis: self.genesis.clone(),
        };
        let proof = Signed::sign(proof, signer).to_bytes();
        let open = SpaceFrame::Open { space: self.space, proof, credentials: Vec::new(), answer };
        stream.send(&open.to_bytes()).await.unwrap();
        let said = stream.recv(FRAME_MAX_BYTES).await.unwrap();
        (stream, said.map(|said| SpaceFrame::from_bytes(&said).unwrap()))
    }

    /// Opens the space at a gateway.
    pub(super) async fn connect(&mut self, gateway: &Handle) -> Result<Link, Refusal> {
        let (stream, said) = self.knock(gateway, &self.writer, Answer::Honest).await;
        let source = match said.unwrap() {
            SpaceFrame::Opened { source, .. } => source,
            SpaceFrame::Refused(refusal) => return Err(refusal),
            other => panic!("unexpected {other:?}"),
        };
        let (sender, receiver) = stream.split();
        let mut channels: BTreeMap<ChannelId, cosmic_common::heads::Heads> = BTreeMap::new();
        for (id, log) in &self.logs {
            channels.entry(log.channel).or_default().insert(*id, log.head);
        }
        let summary =
            Summary { membership: membership_channel(&self.space), channels, interest: Interest::All };
        let config = Config { quiet_ms: 20, ..Config::default() };
        let (machine, outputs) = Machine::open(config, summary, Timestamp::default()).unwrap();
        let clock = Clock::system();
        let mut link = Link {
            source,
            machine,
            outbox: Outbox::new(sender),
            receiver,
            began: clock.monotonic(),
            clock,
            timers: BTreeMap::new(),
            ended: None,
            last: None,
        };
        link.perform(self, outputs);
        Ok(link)
    }

    fn store(&mut self, runs: &[Run]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for run in runs {
            for frame in &run.frames {
                let entry = Entry::from_bytes(frame).unwrap();
                let next = self.logs.get(&run.log).map_or(0, |log| log.head.seq + 1);
                if entry.core().seq == next {
                    self.keep(run.channel, &entry);
                }
            }
            let head = self.logs.get(&run.log).map(|log| log.head);
            outcomes.push(Outcome { log: run.log, head, aside: None });
        }
        outcomes
    }
}

/// A session of a device with a gateway.
pub(super) struct Link {
    pub(super) source: PeerId,
    machine: Machine,
    outbox: Outbox,
    receiver: cosmic_net::Receiver,
    clock: Clock,
    began: Monotonic,
    timers: BTreeMap<Timer, Monotonic>,
    pub(super) ended: Option<Option<Refusal>>,
    /// What the machine said at the end.
    pub(super) last: Option<End>,
}

impl Link {
    /// Tells the machine of an entry that was just written.
    pub(super) fn pushed(&mut self, device: &mut Device, channel: ChannelId, entry: &Entry) {
        let head = Head { seq: entry.core().seq, entry: entry.id() };
        let frames = vec![Frame::from(entry.as_bytes())];
        self.input(device, Input::Grown(Growth { channel, log: entry.core().log, head, frames }));
    }

    /// Goes on until `done`, or the session ended.
    pub(super) async fn run(&mut self, device: &mut Device, mut done: impl FnMut(&Device) -> bool) {
        let deadline = self.clock.monotonic().after(Duration::from_secs(20));
        while self.ended.is_none() && !done(device) {
            let clock = self.clock.clone();
            let wake = self.timers.values().copied().min().unwrap_or(deadline).min(deadline);
            tokio::select! {
                frame = self.receiver.recv(FRAME_MAX_BYTES) => match frame {
                    Ok(Some(frame)) => self.received(device, &frame),
                    _ => self.ended = Some(None),
                },
                sent = self.outbox.pump(), if !self.outbox.is_idle() => drop(sent),
                () = clock.sleep_until(wake) => {
                    let now = self.clock.monotonic();
                    assert!(now < deadline, "nothing more happened; receipts: {:?}", device.receipts);
                    let due: Vec<_> = self.timers.iter().filter(|(_, at)| **at <= now).map(|(t, _)| *t).collect();
                    for timer in due {
                        self.timers.remove(&timer);
                        self.input(device, Input::Fired(timer));
                    }
                }
            }
        }
        if !self.outbox.is_idle() && self.ended.is_none() {
            self.outbox.pump().await.unwrap();
        }
    }

    fn received(&mut self, device: &mut Device, frame: &[u8]) {
        match SpaceFrame::from_bytes(frame).unwrap() {
            SpaceFrame::Sync(message) => {
                self.input(device, Input::Received(Message::from_bytes(&message).unwrap()));
            }
            SpaceFrame::Receipts(receipts) => {
                device.receipts.extend(receipts.iter().map(|receipt| Receipt::open(receipt).unwrap()));
            }
            SpaceFrame::Refused(refusal) => self.ended = Some(Some(refusal)),
            other => panic!("unexpected {other:?}"),
        }
    }

    fn input(&mut self, device: &mut Device, input: Input) {
        let outputs = self.handle(input);
        self.perform(device, outputs);
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        let now = Timestamp::default().after(self.clock.monotonic().since(self.began));
        self.machine.handle(input, now)
    }

    fn perform(&mut self, device: &mut Device, outputs: Vec<Output>) {
        // What follows from an answer comes after what was said before it.
        let mut outputs: VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Send(message) => self.outbox.push(SpaceFrame::Sync(message.to_bytes()).to_bytes()),
                Output::Load { ticket, ranges, .. } => {
                    let frames = ranges.iter().map(|range| {
                        let (from, to) =
                            (usize::try_from(range.from).unwrap(), usize::try_from(range.to).unwrap());
                        device.logs[&range.log].frames[from..to].to_vec()
                    });
                    let frames = frames.collect();
                    outputs.extend(self.handle(Input::Loaded(ticket, frames)));
                }
                Output::Store { ticket, runs } => {
                    let outcomes = device.store(&runs);
                    outputs.extend(self.handle(Input::Stored(ticket, outcomes)));
                }
                Output::Identify { ticket, places } => {
                    let id = |frame: &Frame| Entry::from_bytes(frame).unwrap().id();
                    let ids = places.iter().map(|place| {
                        id(&device.logs[&place.log].frames[usize::try_from(place.seq).unwrap()])
                    });
                    let ids = ids.collect();
                    outputs.extend(self.handle(Input::Identified(ticket, ids)));
                }
                Output::Arm { timer, after } => {
                    self.timers.insert(timer, self.clock.monotonic().after(after));
                }
                Output::Report(Report::Equal { .. }) => device.equal += 1,
                Output::Report(Report::Ended(end)) => {
                    self.last = Some(end);
                    self.ended.get_or_insert(None);
                }
                Output::Report(report) => panic!("unexpected {report:?}"),
            }
        }
    }
}
