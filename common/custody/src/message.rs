//! Messages of the streams that keep data: `/cosmic/space/1`, `/cosmic/replica/1`, `/cosmic/object/1`, `/cosmic/shard/1`,
//! `/cosmic/care/1`, `/cosmic/meeting/1`, `/cosmic/turn/1`.
//!
//! Signed and sealed things travel as the exact bytes their rooms made; this room does not open them.

pub(crate) mod bounded;
pub mod bulk;
pub mod care;
pub mod meeting;
pub mod object;
pub mod refusal;
pub mod replica;
pub mod shard;
pub mod space;
pub mod turn;

/// Things (entries, receipts) in one message. The shortest real one has some 150 bytes, so that a
/// message of 1 MiB never needs more; a hostile one of empty strings is stopped here.
pub const LIST_MAX: usize = 8 * 1024;

/// Logs one `Attest` may name: that many signatures take some 14 ms.
pub const ATTEST_MAX: u64 = 1024;

/// Packs a device may wait for at once; its gateway passes over what is more, and the device asks again.
pub const PACKS_WANTED_MAX: usize = 4;

/// What a sender may put into the lists of one message, so that the message with its frame of
/// fields stays within `MESSAGE_MAX_BYTES` however they are cut.
pub const LIST_MAX_BYTES: usize = cosmic_common::limit::MESSAGE_MAX_BYTES - 16 * 1024;

/// How many of `sizes` fit together into one message, at least one as long as there is one.
///
/// A list of byte strings costs at most five bytes more for each. Every single entry fits, because
/// `ENTRY_MAX_BYTES` is less than [`LIST_MAX_BYTES`].
#[must_use]
pub fn fitting(sizes: impl IntoIterator<Item = usize>, max_bytes: usize) -> usize {
    let mut left = max_bytes.min(LIST_MAX_BYTES);
    let mut count = 0;
    for size in sizes.into_iter().take(LIST_MAX) {
        match left.checked_sub(size.saturating_add(5)) {
            Some(rest) => left = rest,
            None if count == 0 => return 1,
            None => return count,
        }
        count += 1;
    }
    count
}
