//! Why an entry, a session or a text is refused.

use cosmic_common::{
    id::{ChannelId, EntryId, WriterId},
    limit::DELEGATION_DEPTH_MAX,
    record::RecordError,
    time::Timestamp,
};
use cosmic_identity::signature::SignatureError;
use cosmic_log::{chain, fork::ForkError, kind::Kind};

use crate::rights::Right;

/// What must arrive before an entry can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The record that founds the space.
    #[error("the genesis record of the space has not arrived")]
    Genesis,
    /// The delegation in this entry.
    #[error("the delegation in entry {0} has not arrived")]
    Delegation(EntryId),
    /// Entries before it in its own log.
    #[error("entry {expected} of its log has not arrived")]
    Previous {
        /// The next sequence number that can be taken.
        expected: u64,
    },
}

/// Why the answer is no.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not no, but not yet.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The body is malformed.
    #[error("the body of the entry is malformed")]
    Record(#[from] RecordError),
    /// The signature is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The entry cannot stand where it says in its log.
    #[error(transparent)]
    Chain(#[from] chain::Refusal),
    /// The fork proof proves nothing.
    #[error("the fork proof does not hold")]
    Fork(#[from] ForkError),
    /// A field is longer, shorter or fuller than it may be.
    #[error("{record}: {field} out of bounds")]
    OutOfBounds {
        /// The record.
        record: &'static str,
        /// Its field.
        field: &'static str,
    },
    /// It names another space.
    #[error("this belongs to another space")]
    OtherSpace,
    /// The kind has no place in the channel.
    #[error("an entry of kind {kind:?} has no place in channel {}", channel.short())]
    Kind {
        /// The kind.
        kind: Kind,
        /// The channel.
        channel: ChannelId,
    },
    /// A membership record whose body was dropped says nothing.
    #[error("an entry of kind {kind:?} came without its body")]
    BodyMissing {
        /// The kind.
        kind: Kind,
    },
    /// A genesis that is not the second entry of the root's log.
    #[error("the genesis must be the second entry of a log of the root of the space")]
    GenesisPlace,
    /// Somebody acts as the root of the space who is not.
    #[error("{} acts as the root of the space, and is not", writer.short())]
    NotRoot {
        /// Who.
        writer: WriterId,
    },
    /// Somebody acts under a delegation made to another key.
    #[error("{} acts under a delegation to another key", writer.short())]
    NotAudience {
        /// Who.
        writer: WriterId,
    },
    /// A delegation gives more than its giver has.
    #[error("the delegation gives {what} that its giver does not have")]
    Widens {
        /// Rights or channels.
        what: &'static str,
    },
    /// A chain of delegations is too long.
    #[error("a chain of delegations has at most {DELEGATION_DEPTH_MAX} links")]
    TooDeep,
    /// A ticket's key made a ticket.
    #[error("the key of a ticket gives rights to members, not to another ticket")]
    TicketFromTicket,
    /// The right was not given.
    #[error("the right to {right} was not given")]
    Lacks {
        /// The right.
        right: Right,
    },
    /// Nobody gave this key any right that stands.
    #[error("{} is not a member of the space", writer.short())]
    NotAMember {
        /// Who.
        writer: WriterId,
    },
    /// The delegation was taken back, or its giver had no right to give it any more.
    #[error("the delegation in entry {} no longer stands", delegation.short())]
    Revoked {
        /// The delegation.
        delegation: EntryId,
    },
    /// The delegation or one it rests on has expired.
    #[error("the delegation expired at {} ms after 1970; ask for a new one", at.unix_ms())]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// A session proof made for other peers, another nonce or another protocol.
    #[error("the session proof was made for another {what}")]
    OtherSession {
        /// What differs.
        what: &'static str,
    },
    /// Entries were left over that rest on others which are not there.
    #[error("{left} membership entries rest on others that are not there")]
    Incomplete {
        /// How many.
        left: usize,
    },
}
