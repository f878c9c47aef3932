//! Entries for the sync machine of a session, from wherever the space is read.

use cosmic_common::id::EntryId;
use cosmic_log::entry::Entry;
use cosmic_sync::{
    door::{Place, Range},
    message::Frame,
};
use futures::{StreamExt as _, stream};

use crate::{
    source::Source,
    spaces::{Error as SpaceError, Space},
};

/// Ranges read at once, when they lie at another supernode.
const LOADED_AT_ONCE: usize = 8;

/// Entries for the machine, as it asks for them: the first range that is not complete is the last.
pub(super) async fn load(
    source: &Source,
    space: &Space,
    ranges: &[Range],
    max_bytes: u64,
) -> Result<Vec<Vec<Frame>>, SpaceError> {
    let mut loaded = Vec::with_capacity(ranges.len());
    let mut left = max_bytes;
    let read = |range: &Range| {
        let (log, from, to) = (range.log, range.from, range.to);
        async move {
            let frames = source.range(log, from, to, max_bytes).await?;
            if !frames.is_empty() {
                return Ok(frames);
            }
            // Told of, but not written yet.
            space.settle().await?;
            source.range(log, from, to, max_bytes).await
        }
    };
    let mut answers = stream::iter(ranges.iter().map(read)).buffered(LOADED_AT_ONCE);
    for range in ranges {
        let mut frames = answers.next().await.transpose()?.unwrap_or_default();
        frames.truncate(fitting(&frames, left, loaded.is_empty()));
        let bytes = frames.iter().map(Frame::cost).sum::<u64>();
        left = left.saturating_sub(bytes);
        let complete = range.from.saturating_add(frames.len() as u64) >= range.to;
        loaded.push(frames);
        if !complete {
            break;
        }
    }
    Ok(loaded)
}

/// How many frames fit into what is left; the first one of all always does.
fn fitting(frames: &[Frame], left: u64, first: bool) -> usize {
    let mut bytes = 0_u64;
    let fits = frames.iter().take_while(|frame| {
        bytes = bytes.saturating_add(frame.cost());
        bytes <= left
    });
    fits.count().max(usize::from(first))
}

pub(super) async fn identify(
    source: &Source,
    space: &Space,
    places: &[Place],
) -> Result<Vec<EntryId>, SpaceError> {
    let mut ids = Vec::with_capacity(places.len());
    for Place { log, seq, .. } in places {
        let mut frames = source.range(*log, *seq, seq.saturating_add(1), 1).await?;
        if frames.is_empty() {
            space.settle().await?;
            frames = source.range(*log, *seq, seq.saturating_add(1), 1).await?;
        }
        let frame = frames.first().ok_or(SpaceError::Closed)?;
        ids.push(Entry::from_bytes(frame)?.id());
    }
    Ok(ids)
}
