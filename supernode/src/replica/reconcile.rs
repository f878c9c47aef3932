//! Two replicas of a space compare heads: what is missing here is pulled, what is missing there is pushed.

use std::collections::BTreeMap;

use cosmic_common::{
    heads::{Head, Heads},
    id::{LogId, PeerId, SpaceId},
    limit::MESSAGE_MAX_BYTES,
};
use cosmic_custody::message::{
    fitting,
    replica::{ReplicaAnswer, ReplicaRequest, SpaceHeads},
};
use cosmic_space::genesis::membership_channel;
use cosmic_store::{Span, Store};
use cosmic_sync::message::Frame;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::client::{self, Replicas};
use crate::{
    packs::Reader,
    spaces::{self, Origin, Space, Spaces},
    tables::{ENTRIES, ORDER},
};

/// Bytes of entries asked for or sent in one message.
const PART_BYTES: u32 = 512 * 1024;
/// Ranges under way at once.
const PIPELINED: usize = 4;
/// Pages of membership pulled in one go, far more than there can be.
const PAGES_MAX: usize = 4096;
/// Membership entries of one space.
const MEMBERSHIP_MAX: usize = 1 << 20;

/// How a comparison ended.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Receipts of the other replica for what it was sent.
    pub receipts: Vec<Vec<u8>>,
    /// Entries that came here.
    pub pulled: usize,
    /// Whether both sides hold the same now, as far as this comparison saw.
    pub complete: bool,
}

/// Why a comparison did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other replica failed.
    #[error("the other replica failed")]
    Replica(#[from] client::Error),
    /// This one did.
    #[error("this replica failed")]
    Space(#[from] spaces::Error),
    /// The store failed.
    #[error("the store of this supernode failed")]
    Store(#[from] cosmic_store::Error),
}

/// Compares the heads of `space` with those of `peer` and makes good what is missing on either side.
///
/// # Errors
/// If one of the two fails; what was exchanged before stays.
pub async fn reconcile(spaces: &Spaces, space: &Space, peer: PeerId) -> Result<Reconciled, Error> {
    let replicas = spaces.replicas();
    let theirs = replicas.heads(peer, space.id()).await?;
    let mut done = Reconciled { complete: true, ..Reconciled::default() };
    pull(replicas, space, peer, &theirs, &mut done).await?;
    let ours = space.heads().await?;
    space.settle().await?;
    push(replicas, spaces.reader(), (space.id(), peer), (&ours, &theirs), &mut done).await?;
    Ok(done)
}

/// Pulls the membership entries that `peer` has and this supernode, which relays the space, has not.
///
/// # Errors
/// If one of the two fails.
pub async fn membership(replicas: &Replicas, space: &Space, peer: PeerId) -> Result<Reconciled, Error> {
    let theirs = replicas.heads(peer, space.id()).await?;
    let mut done = Reconciled { complete: true, ..Reconciled::default() };
    pull_membership(replicas, space, peer, &theirs, &mut done).await?;
    Ok(done)
}

async fn pull_membership(
    replicas: &Replicas,
    space: &Space,
    peer: PeerId,
    theirs: &SpaceHeads,
    done: &mut Reconciled,
) -> Result<(), Error> {
    let channel = membership_channel(&space.id());
    for _ in 0..PAGES_MAX {
        let known = space.heads().await?.remove(&channel).unwrap_or_default();
        if !theirs.get(&channel).is_some_and(|theirs| lacks(&known, theirs)) {
            break;
        }
        let (entries, more) = replicas.membership(peer, space.id(), known).await?;
        if entries.is_empty() {
            break;
        }
        let came = take(space, peer, entries, done).await?;
        if !more || !came {
            break;
        }
    }
    Ok(())
}

async fn pull(
    replicas: &Replicas,
    space: &Space,
    peer: PeerId,
    theirs: &SpaceHeads,
    done: &mut Reconciled,
) -> Result<(), Error> {
    pull_membership(replicas, space, peer, theirs, done).await?;
    let channel = membership_channel(&space.id());
    let ours = all(&space.heads().await?);
    let missing = theirs.iter().filter(|(theirs, _)| **theirs != channel).flat_map(|(_, heads)| heads);
    let missing = missing.filter_map(|(log, head)| {
        let from = ours.get(log).map_or(0, |ours| ours.seq.saturating_add(1));
        (from <= head.seq).then_some((*log, from, head.seq))
    });
    let missing: Vec<_> = missing.collect();
    let ask = |part: (LogId, u64, u64)| async move {
        let entries = replicas.range(peer, space.id(), part, PART_BYTES).await?;
        Ok::<_, Error>((part, entries))
    };
    let mut answers = stream::iter(missing).map(ask).buffered(PIPELINED);
    while let Some(((log, from, to), entries)) = answers.try_next().await? {
        let mut next = from + entries.len() as u64;
        let mut came = take(space, peer, entries, done).await?;
        while came && next <= to {
            let entries = replicas.range(peer, space.id(), (log, next, to), PART_BYTES).await?;
            next += entries.len() as u64;
            came = !entries.is_empty() && take(space, peer, entries, done).await?;
        }
        done.complete &= next > to;
    }
    Ok(())
}

/// Stores what was pulled; whether anything of it is here now.
async fn take(
    space: &Space,
    peer: PeerId,
    entries: Vec<Vec<u8>>,
    done: &mut Reconciled,
) -> Result<bool, Error> {
    let count = entries.len();
    let frames = entries.into_iter().map(|entry| Frame::from(entry).into()).collect();
    let appended = space.append(frames, Origin::Pulled(peer)).await?;
    let taken = count.saturating_sub(appended.stopped.len());
    done.pulled += taken;
    done.complete &= appended.stopped.iter().all(|(_, refusal)| !refusal.code.is_transient());
    Ok(taken > 0 && appended.invalid.is_none())
}

/// Sends what `peer` lacks of a space that is kept here, membership first.
///
/// # Errors
/// If the tables or the peer fail.
pub async fn push(
    replicas: &Replicas,
    reader: &Reader,
    (space, peer): (SpaceId, PeerId),
    (ours, theirs): (&SpaceHeads, &SpaceHeads),
    done: &mut Reconciled,
) -> Result<(), Error> {
    let channel = membership_channel(&space);
    let known = theirs.get(&channel).cloned().unwrap_or_default();
    let known_to_us = ours.get(&channel).cloned().unwrap_or_default();
    if lacks(&known, &known_to_us) {
        let frames = membership_beyond(reader.store(), space, &known, usize::MAX)?;
        for part in parts(&frames) {
            send(replicas, (space, peer), part, done).await?;
        }
    }
    let known = all(theirs);
    let mut part: Vec<Frame> = Vec::new();
    let mut bytes = 0;
    for (log, head) in ours.iter().filter(|(ours, _)| **ours != channel).flat_map(|(_, heads)| heads) {
        let mut from = known.get(log).map_or(0, |theirs| theirs.seq.saturating_add(1));
        while from <= head.seq {
            let frames = reader.range(space, *log, from, head.seq + 1, u64::from(PART_BYTES)).await?;
            if frames.is_empty() {
                done.complete = false;
                break;
            }
            from += frames.len() as u64;
            bytes += frames.iter().map(Frame::cost).sum::<u64>();
            part.extend(frames);
            if bytes >= u64::from(PART_BYTES) {
                for part in parts(&std::mem::take(&mut part)) {
                    send(replicas, (space, peer), part, done).await?;
                }
                bytes = 0;
            }
        }
    }
    for part in parts(&part) {
        send(replicas, (space, peer), part, done).await?;
    }
    Ok(())
}

async fn send(
    replicas: &Replicas,
    (space, peer): (SpaceId, PeerId),
    frames: &[Frame],
    done: &mut Reconciled,
) -> Result<(), Error> {
    let entries = frames.iter().map(|frame| frame.to_vec()).collect();
    match replicas.call(peer, ReplicaRequest::Append { space, entries }).wait().await? {
        ReplicaAnswer::Appended { receipts, stopped } => {
            done.receipts.extend(receipts);
            done.complete &= stopped.iter().all(|stopped| !stopped.refusal.code.is_transient());
            Ok(())
        }
        other => Err(client::Error::answer(other).into()),
    }
}

/// Cuts frames into messages.
fn parts(frames: &[Frame]) -> impl Iterator<Item = &[Frame]> {
    let mut rest = frames;
    std::iter::from_fn(move || {
        let count = fitting(rest.iter().map(|frame| frame.len()), MESSAGE_MAX_BYTES);
        let (part, left) = rest.split_at_checked(count).filter(|(part, _)| !part.is_empty())?;
        rest = left;
        Some(part)
    })
}

/// Membership entries in the tables here that lie beyond `known`, in an order in which each can be admitted.
///
/// # Errors
/// If they cannot be read.
pub(crate) fn membership_beyond(
    store: &Store,
    space: SpaceId,
    known: &Heads,
    max_bytes: usize,
) -> Result<Vec<Frame>, cosmic_store::Error> {
    let mut frames = Vec::new();
    let mut bytes = 0_usize;
    for row in store.scan(&ORDER, &Span::prefix(&space), MEMBERSHIP_MAX) {
        let (_, (log, seq)) = row?;
        if known.get(&log).is_some_and(|head| seq <= head.seq) {
            continue;
        }
        let Some(entry) = store.get(&ENTRIES, &(log, seq))? else { continue };
        bytes = bytes.saturating_add(entry.len());
        frames.push(Frame::from(entry.as_ref()));
        if bytes >= max_bytes {
            break;
        }
    }
    Ok(frames)
}

/// Whether who holds `known` lacks something of `other`.
fn lacks(known: &Heads, other: &Heads) -> bool {
    other.iter().any(|(log, head)| known.get(log).is_none_or(|known| known.seq < head.seq))
}

fn all(heads: &SpaceHeads) -> BTreeMap<LogId, Head> {
    heads.values().flatten().map(|(log, head)| (*log, *head)).collect()
}
