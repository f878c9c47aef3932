//! Covers: when the body of an entry may go because a snapshot says the same.
//!
//! ```text
//! snapshot S covers E ── its writer and another device acknowledge it ──▶ S replaces E
//!     ── the delay and the retention of the space are over, S is here with its body ──▶ E's body may go; its header stays
//! ```
//! Only clear fields are looked at, so whoever cannot read a space comes to the same answer as its members. A header names
//! length and hash of its body: id, signature and chain hold without it.

use std::{collections::BTreeSet, iter};

use cosmic_common::id::{ChannelId, EntryId, WriterId};
use cosmic_log::{entry::Entry, kind::Kind, open::Open};

use crate::membership::{Membership, counting::Standing};

/// Devices that have to acknowledge a snapshot before it replaces anything. Who wrote it is one of them: two devices are
/// what most spaces have, and what one device says alone drops nothing of anybody's.
pub const DEVICES_MIN: usize = 2;

/// Who speaks for a snapshot by an entry, and the channel in which that entry counts, if it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// The writer: one for each device of the space, whatever incarnation it wrote in.
    pub writer: WriterId,
    /// Where the entry counts.
    pub channel: Option<ChannelId>,
}

impl Membership {
    /// The witness that the entry at `seq` of the log that `open` opened makes its writer, as things stand.
    #[must_use]
    pub fn witness(&self, open: &Open, seq: u64) -> Witness {
        let standing = self.standing(&open.channel, &open.writer, &open.log_id(), seq);
        let channel = (standing == Standing::Counts).then_some(open.channel);
        Witness { writer: open.writer, channel }
    }
}

/// Whether a snapshot replaces what it covers: it counts, and so do acknowledgements in its channel of as many devices as
/// it takes.
#[must_use]
pub fn replaces(snapshot: Witness, acknowledgements: impl IntoIterator<Item = Witness>) -> bool {
    let Some(channel) = snapshot.channel else { return false };
    let said = iter::once(snapshot).chain(acknowledgements);
    let devices: BTreeSet<WriterId> =
        said.filter(|witness| witness.channel == Some(channel)).map(|witness| witness.writer).collect();
    devices.len() >= DEVICES_MIN
}

/// Whether a snapshot can say what an entry of this kind says. Files are needed for the objects they name.
#[must_use]
pub const fn is_replaceable(kind: Kind) -> bool {
    matches!(kind, Kind::Change | Kind::Snapshot)
}

/// A run of entries without the bodies that were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thinned {
    /// All entries of the run, in their order.
    pub entries: Vec<Entry>,
    /// How many bodies went,
    pub bodies: u64,
    /// and their bytes.
    pub bytes: u64,
    /// The snapshots among those whose bodies went.
    pub snapshots: Vec<EntryId>,
}

impl Thinned {
    /// Whether dropping these bodies saves anything. A pack takes about two bytes for each of its own, wherever they lie;
    /// headers without a pack lie on three replicas: so the bodies must be no shorter than the headers that stay.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.bytes >= self.entries.iter().map(|entry| entry.as_bytes().len() as u64).sum()
    }
}

/// Drops the bodies of a run of entries of one log, of which `is_replaced` says whether a snapshot replaces the one at a
/// place. A run goes as a whole: as long as one sealed body is needed, none goes.
///
/// # Errors
/// The sealed entries whose bodies are needed.
pub fn thin(entries: Vec<Entry>, is_replaced: impl Fn(u64) -> bool) -> Result<Thinned, Vec<Entry>> {
    let goes = |entry: &Entry| entry.core().kind.is_sealed() && entry.body().is_some();
    let is_needed =
        |entry: &&Entry| goes(entry) && !(is_replaceable(entry.core().kind) && is_replaced(entry.core().seq));
    let needed: Vec<Entry> = entries.iter().filter(is_needed).cloned().collect();
    if !needed.is_empty() {
        return Err(needed);
    }
    let mut thinned =
        Thinned { entries: Vec::with_capacity(entries.len()), bodies: 0, bytes: 0, snapshots: Vec::new() };
    for entry in entries {
        if !goes(&entry) {
            thinned.entries.push(entry);
            continue;
        }
        thinned.bodies += 1;
        thinned.bytes = thinned.bytes.saturating_add(entry.body_bytes());
        if entry.core().kind == Kind::Snapshot {
            thinned.snapshots.push(entry.id());
        }
        thinned.entries.push(entry.without_body());
    }
    Ok(thinned)
}
