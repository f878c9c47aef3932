//! What the rules of a space say of entries that others go by: whether each counts, and how long what it removes or
//! replaces is kept.

use std::time::Duration;

use cosmic_common::id::{ChannelId, LogId};
use cosmic_space::membership::counting::Standing;

use super::{actor::Actor, error::Error, handle::Reply};

/// What the rules of a space say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// Of each place the channel of its log, if what stands there counts as things stand.
    pub counts: Vec<Option<ChannelId>>,
    /// How long the space keeps what was removed or replaced.
    pub retention: Option<Duration>,
}

impl Actor {
    /// Judges these places. What lies outside the cut of a revocation removes and replaces nothing, whoever
    /// built on it.
    pub(super) fn judge(&self, places: &[(LogId, u64)], reply: Reply<Judged>) {
        if self.relay.is_some() {
            drop(reply.send(Err(Error::NoReplica)));
            return;
        }
        let membership = &self.state.membership;
        let counts = |(log, seq): &(LogId, u64)| {
            let open = self.state.logs.get(log)?.open();
            let standing = membership.standing(&open.channel, &open.writer, log, *seq);
            (standing == Standing::Counts).then_some(open.channel)
        };
        let retention = membership.genesis().and_then(|genesis| genesis.policy.retention_secs);
        let retention = retention.map(Duration::from_secs);
        drop(reply.send(Ok(Judged { counts: places.iter().map(counts).collect(), retention })));
    }
}
