//! Admission: whether an entry from outside may be stored.
//!
//! The answer never depends on revocations or on the clock, so that all replicas store the same entries
//! and their roots can be equal. Whether a stored entry counts is [`crate::membership`]'s to say, and
//! whether a peer may bring entries at all is [`crate::session`]'s.
//!
//! ```text
//!   entry --admit--> Admit(state)  store it; in the membership channel also Membership::insert
//!                    Taken         its place is taken: look up ours, ask `compare`
//!                    Wait(missing) not now: try again when that has arrived
//!                    Refuse(why)   never; whoever sent it is at fault
//! ```

use cosmic_log::{
    chain::{LogState, Step},
    entry::Entry,
    fork::ForkProof,
    kind::Kind,
};

use crate::{
    membership::Membership,
    refusal::{Missing, Refusal},
};

/// What to do with an entry.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "moved once per entry, which costs less than a box")]
pub enum Verdict {
    /// Store it; this is the state of its log afterwards.
    Admit(LogState),
    /// Its place in the log is taken: a duplicate, or a fork.
    Taken,
    /// It cannot be judged before something else arrives.
    Wait(Missing),
    /// It must not be stored.
    Refuse(Refusal),
}

/// What an entry is beside the one that has its place.
#[derive(Debug)]
pub enum Comparison {
    /// The same.
    Duplicate,
    /// Another, signed by the same writer. Publish the proof.
    Fork(Box<ForkProof>),
    /// Another, which the writer never signed.
    Forged(Refusal),
}

/// Judges `entry`, whose log stands at `state` as far as it is known. The one signature check an entry
/// needs happens here.
#[must_use]
pub fn admit(membership: &Membership, state: Option<&LogState>, entry: &Entry) -> Verdict {
    match judge(membership, state, entry) {
        Ok(Some(state)) => Verdict::Admit(state),
        Ok(None) => Verdict::Taken,
        Err(Refusal::Missing(missing)) => Verdict::Wait(missing),
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

fn judge(
    membership: &Membership,
    state: Option<&LogState>,
    entry: &Entry,
) -> Result<Option<LogState>, Refusal> {
    let Some(state) = state else { return open(membership, entry).map(Some) };
    let (core, channel) = (entry.core(), state.open().channel);
    let expected = state.head().seq.saturating_add(1);
    if core.seq > expected {
        return Err(Missing::Previous { expected }.into());
    }
    let in_membership = channel == membership.channel();
    if core.seq == expected && !has_place(core.kind, in_membership) {
        return Err(Refusal::Kind { kind: core.kind, channel });
    }
    match state.check(entry)? {
        Step::Taken => return Ok(None),
        Step::Extends if in_membership => membership.check_entry(entry, state.open().writer)?,
        Step::Extends => {}
    }
    let mut state = state.clone();
    state.extend(entry);
    Ok(Some(state))
}

/// Judges the first entry of a log. Everything after it rests on the delegation it names.
fn open(membership: &Membership, entry: &Entry) -> Result<LogState, Refusal> {
    if entry.core().seq != 0 {
        return Err(Missing::Previous { expected: 0 }.into());
    }
    let state = LogState::from_open(entry)?;
    membership.check_open(state.open())?;
    Ok(state)
}

/// Whether a later entry of this kind may stand in a channel.
const fn has_place(kind: Kind, in_membership: bool) -> bool {
    match kind {
        Kind::Open => false,
        Kind::Acknowledgement => true,
        _ => kind.is_membership() == in_membership,
    }
}

/// Compares an entry with ours in the same place of the log at `state`.
#[must_use]
pub fn compare(state: &LogState, ours: &Entry, theirs: &Entry) -> Comparison {
    if ours.id() == theirs.id() {
        return Comparison::Duplicate;
    }
    if let Err(error) = theirs.verify_signature(&state.open().writer) {
        return Comparison::Forged(error.into());
    }
    match ForkProof::between(ours, theirs) {
        Some(proof) => Comparison::Fork(Box::new(proof)),
        None => Comparison::Forged(cosmic_log::chain::Refusal::OtherLog.into()),
    }
}
