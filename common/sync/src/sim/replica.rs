//! A replica for tests: durable logs of small fake entries, and what a driver does with them.

use std::collections::BTreeMap;

use cosmic_common::{
    hash,
    heads::{Head, Heads},
    id::{ChannelId, EntryId, Hash, LogId},
};

use crate::{
    door::{Aside, Growth, Outcome, Place, Range, StoreFailure, Summary},
    message::{Frame, Interest, Run},
};

pub(crate) const MEMBERSHIP: ChannelId = ChannelId::from_bytes([0xee; 32]);

/// A content channel by number.
pub(crate) fn channel(number: u8) -> ChannelId {
    ChannelId::from_bytes([number; 32])
}

/// The log of a writer in a channel.
pub(crate) fn log_of(channel: &ChannelId, writer: u8) -> LogId {
    LogId::from_bytes(hash::derive("test log", &[channel.as_bytes(), &[writer]]))
}

fn id_of(frame: &[u8]) -> EntryId {
    EntryId::from_bytes(hash::derive("test entry", &[frame]))
}

/// Stands in for the writer's signature: nobody else in a test makes it.
fn seal(content: &[u8], writer: u8) -> Hash {
    Hash::from_bytes(hash::derive("test signature", &[&[writer], content]))
}

/// A fake entry: log, place, previous entry, a membership entry it needs, filling, and a signature.
struct Fake<'a> {
    log: &'a [u8],
    seq: u64,
    previous: &'a [u8],
    /// The log and count of membership entries that have to be there.
    needs: (&'a [u8], u64),
    writer: u8,
    is_signed: bool,
}

impl<'a> Fake<'a> {
    fn decode(frame: &'a [u8]) -> Option<Self> {
        let (content, signature) = frame.split_last_chunk::<32>()?;
        let writer = *content.get(112)?;
        let number = |at: usize| Some(u64::from_be_bytes(frame.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            log: frame.get(..32)?,
            seq: number(32)?,
            previous: frame.get(40..72)?,
            needs: (frame.get(72..104)?, number(104)?),
            writer,
            is_signed: seal(content, writer).as_bytes() == signature,
        })
    }
}

/// One stored log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    channel: ChannelId,
    frames: Vec<Frame>,
    ids: Vec<EntryId>,
}

/// What is left of one side when it loses power.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replica {
    pub(crate) logs: BTreeMap<LogId, Log>,
    /// Logs it does not take.
    pub(crate) asides: BTreeMap<LogId, Aside>,
    /// How often entries had to be left out because membership was not there yet.
    pub(crate) waits: u64,
}

impl Replica {
    pub(crate) fn count(&self, log: &LogId) -> u64 {
        self.logs.get(log).map_or(0, |log| log.frames.len() as u64)
    }

    pub(crate) fn head(&self, log: &LogId) -> Option<Head> {
        let ids = &self.logs.get(log)?.ids;
        Some(Head { seq: ids.len() as u64 - 1, entry: *ids.last()? })
    }

    fn push(&mut self, channel: ChannelId, log: LogId, frame: Frame) {
        let new = || Log { channel, frames: Vec::new(), ids: Vec::new() };
        let log = self.logs.entry(log).or_insert_with(new);
        log.ids.push(id_of(&frame));
        log.frames.push(frame);
    }

    pub(crate) fn channels(&self) -> BTreeMap<ChannelId, Heads> {
        let mut channels: BTreeMap<ChannelId, Heads> = BTreeMap::new();
        for (log, Log { channel, .. }) in &self.logs {
            channels.entry(*channel).or_default().extend(self.head(log).map(|head| (*log, head)));
        }
        channels
    }

    pub(crate) fn summary(&self, interest: Interest) -> Summary {
        Summary { membership: MEMBERSHIP, channels: self.channels(), interest }
    }

    /// A new entry of `writer`, needing the membership log `needs` as it is here.
    pub(crate) fn append(
        &mut self,
        channel: ChannelId,
        writer: u8,
        needs: Option<LogId>,
        fill: usize,
    ) -> Growth {
        let log = log_of(&channel, writer);
        let seq = self.count(&log);
        let previous = self.head(&log).map_or([0; 32], |head| *head.entry.as_bytes());
        let needs = needs
            .filter(|needed| *needed != log)
            .map_or(([0; 32], 0), |needed| (*needed.as_bytes(), self.count(&needed)));
        let mut frame = Vec::with_capacity(145 + fill);
        frame.extend_from_slice(log.as_bytes());
        frame.extend_from_slice(&seq.to_be_bytes());
        frame.extend_from_slice(&previous);
        frame.extend_from_slice(&needs.0);
        frame.extend_from_slice(&needs.1.to_be_bytes());
        frame.resize(113 + fill, writer);
        let signature = seal(&frame, writer);
        frame.extend_from_slice(signature.as_bytes());
        let frame = Frame::from(frame);
        self.push(channel, log, frame.clone());
        Growth { channel, log, head: Head { seq, entry: id_of(&frame) }, frames: vec![frame] }
    }

    /// Checks and stores a batch as a driver must: in order, leaving out what waits.
    pub(crate) fn store(&mut self, runs: &[Run]) -> Result<(Vec<Outcome>, Vec<Growth>), StoreFailure> {
        let mut outcomes = Vec::new();
        let mut growths = Vec::new();
        for run in runs {
            let new = self.store_run(run)?;
            let head = self.head(&run.log);
            outcomes.push(Outcome { log: run.log, head, aside: self.asides.get(&run.log).copied() });
            if let (Some(head), false) = (head, new.is_empty()) {
                growths.push(Growth { channel: run.channel, log: run.log, head, frames: new });
            }
        }
        Ok((outcomes, growths))
    }

    fn store_run(&mut self, run: &Run) -> Result<Vec<Frame>, StoreFailure> {
        let mut new = Vec::new();
        if self.asides.contains_key(&run.log) {
            return Ok(new);
        }
        for (seq, frame) in (run.from..).zip(&run.frames) {
            let fake = Fake::decode(frame).ok_or(StoreFailure::Refused)?;
            let writer = fake.writer;
            let in_its_log = log_of(&run.channel, writer) == run.log && fake.log == run.log.as_bytes();
            if !in_its_log || fake.seq != seq || !fake.is_signed {
                return Err(StoreFailure::Refused);
            }
            let known = self.count(&run.log);
            if seq < known {
                continue;
            }
            let previous = self.head(&run.log).map_or([0; 32], |head| *head.entry.as_bytes());
            let needed = LogId::try_from(fake.needs.0).map_or(0, |log| self.count(&log));
            if seq > known || needed < fake.needs.1 {
                self.waits += u64::from(seq == known);
                break;
            }
            if fake.previous != previous {
                return Err(StoreFailure::Refused);
            }
            self.push(run.channel, run.log, frame.clone());
            new.push(frame.clone());
        }
        Ok(new)
    }

    /// Loads as the contract of `Output::Load` says.
    pub(crate) fn load(&self, ranges: &[Range], max_bytes: u64) -> Vec<Vec<Frame>> {
        let mut bytes = 0;
        let mut loaded = Vec::new();
        for range in ranges {
            let mut frames = Vec::new();
            let stored = self.logs.get(&range.log).map_or(&[][..], |log| log.frames.as_slice());
            let span = usize::try_from(range.from).unwrap()..usize::try_from(range.to).unwrap();
            for frame in stored.get(span).unwrap_or_default() {
                if bytes > 0 && bytes + frame.cost() > max_bytes {
                    loaded.push(frames);
                    return loaded;
                }
                bytes += frame.cost();
                frames.push(frame.clone());
            }
            loaded.push(frames);
        }
        loaded
    }

    pub(crate) fn identify(&self, places: &[Place]) -> Vec<EntryId> {
        let id = |place: &Place| self.logs[&place.log].ids[usize::try_from(place.seq).unwrap()];
        places.iter().map(id).collect()
    }
}
