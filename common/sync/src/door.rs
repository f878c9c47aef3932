//! The door of a session: what goes in, what comes out.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    heads::{Head, Heads},
    id::{ChannelId, EntryId, Hash, LogId},
};

use crate::{
    message::{Frame, Interest, Message, Run, StopReason},
    refusal::Refusal,
};

/// What a replica holds when a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The membership channel of the space.
    pub membership: ChannelId,
    /// The heads of each channel, membership among them. Channels outside the interest are left out.
    pub channels: BTreeMap<ChannelId, Heads>,
    /// What this replica wants, and what this peer may ask for: the driver narrows it to the peer's rights.
    pub interest: Interest,
}

/// Names one request to the driver; the answer repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to wait for. One of each kind runs at a time; a timer is never cancelled, a late one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Until roots are compared again.
    Quiet,
    /// Until a silent peer is given up.
    Patience,
}

/// A part of a log that is to be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The channel of the log.
    pub channel: ChannelId,
    /// The log.
    pub log: LogId,
    /// The first entry.
    pub from: u64,
    /// The entry after the last.
    pub to: u64,
}

/// The place of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The channel of the log.
    pub channel: ChannelId,
    /// The log.
    pub log: LogId,
    /// The sequence number.
    pub seq: u64,
}

/// Why the store put a log aside while it kept the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// The entries are one branch of a fork, and this replica holds the other.
    Forked,
    /// This replica does not take the log (a quota, a policy) although the peer may rightly hold it.
    Declined,
}

/// What the store did with one log of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The log.
    pub log: LogId,
    /// Where it ends now, whoever wrote the last entry; `None` if nothing of it is here.
    pub head: Option<Head>,
    /// Why the rest is not wanted. Without it, what was left out waits for other entries, and is
    /// asked for again when membership has moved.
    pub aside: Option<Aside>,
}

/// What a session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The peer said this.
    Received(Message),
    /// The peer sent bytes that are no [`Message`].
    Malformed,
    /// The answer to [`Output::Load`]: the frames of each range, in the order asked, beginning at its
    /// `from`. It stops before `max_bytes` are passed, but holds one entry at least; after a range
    /// that is not complete nothing follows.
    Loaded(Ticket, Vec<Vec<Frame>>),
    /// [`Output::Load`] or [`Output::Identify`] cannot be answered.
    LoadFailed(Ticket),
    /// The answer to [`Output::Store`]: the batch is durable, with one outcome for each log of it.
    Stored(Ticket, Vec<Outcome>),
    /// Nothing of the batch was stored.
    StoreFailed(Ticket, StoreFailure),
    /// The answer to [`Output::Identify`], one id for each place.
    Identified(Ticket, Vec<EntryId>),
    /// A log of this replica has grown otherwise than by this session: a local write, or another peer.
    Grown(Growth),
    /// A timer that was armed.
    Fired(Timer),
    /// The session is no longer needed.
    Close,
    /// The stream has ended.
    PeerGone,
}

/// A log that has grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The channel, perhaps a new one.
    pub channel: ChannelId,
    /// The log, perhaps a new one.
    pub log: LogId,
    /// Where it ends now.
    pub head: Head,
    /// The new entries, the last of them at `head`. May be empty: they are loaded then.
    pub frames: Vec<Frame>,
}

/// Why nothing of a batch was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailure {
    /// An entry that no honest replica would hold: not signed by its writer, or not of this log and place.
    Refused,
    /// The store cannot take it now (disk full, upstream gone).
    Unavailable,
}

/// What a session asks of its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Say this to the peer, in this order.
    Send(Message),
    /// Load entries. One load is under way at a time.
    Load {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// What to load.
        ranges: Vec<Range>,
        /// Where to stop.
        max_bytes: u64,
    },
    /// Check and store entries; batches take effect in the order of their tickets. Each frame must be
    /// the entry of the run's log at the run's place: the session has not looked.
    Store {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// What to store. All membership or all content.
        runs: Vec<Run>,
    },
    /// Name the entries stored at these places.
    Identify {
        /// To be repeated in the answer.
        ticket: Ticket,
        /// The places.
        places: Vec<Place>,
    },
    /// Come back with [`Input::Fired`] after this time.
    Arm {
        /// Which timer.
        timer: Timer,
        /// How long to wait.
        after: Duration,
    },
    /// What the owner of the session should know.
    Report(Report),
}

/// What a session has to report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Both sides hold the head set they agreed on in this round. Not "fresh": writes go on.
    Equal {
        /// The round.
        round: u64,
        /// One hash over the roots of all shared channels, the same on both sides.
        root: Hash,
    },
    /// The roots differ although all that was told has been exchanged.
    Differ {
        /// The round.
        round: u64,
        /// Where.
        channels: Vec<ChannelId>,
        /// The lower rung has been tried too: this needs a person.
        stays: bool,
    },
    /// The two replicas hold different branches of this log.
    Forked {
        /// The channel.
        channel: ChannelId,
        /// The log.
        log: LogId,
    },
    /// The session is over; it ignores all further input.
    Ended(End),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// This side closed it.
    Closed,
    /// The peer stopped it.
    Stopped(StopReason),
    /// The stream broke; a new session goes on from what is stored.
    Gone,
    /// The peer broke the protocol.
    Refused(Refusal),
    /// This side could not load or store.
    Unable,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether heads have been exchanged.
    pub open: bool,
    /// Entries the peer is known to have and this side has not.
    pub missing_here: u64,
    /// Entries this side has and the peer is not known to have.
    pub missing_there: u64,
    /// Rounds that ended equal.
    pub rounds_equal: u64,
    /// Rounds that ended differing.
    pub rounds_differing: u64,
    /// Bytes of entries received.
    pub received_bytes: u64,
    /// Bytes of entries sent.
    pub sent_bytes: u64,
}
