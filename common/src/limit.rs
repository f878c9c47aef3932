//! Bounds that more than one room must agree on; each stands in `docs/protocol.md`.

/// An address as text.
pub const ADDRESS_MAX_BYTES: usize = 256;
/// Addresses one record or message may list for one peer.
pub const ADDRESSES_MAX: usize = 16;
/// The plain body of an entry; larger changes go as objects.
pub const BODY_PLAIN_MAX_BYTES: usize = 256 * 1024;
/// The sealed body of an entry: plain, padding (Padmé adds at most 12 %), nonce and tag.
pub const BODY_SEALED_MAX_BYTES: usize = 320 * 1024;
/// The header of an entry, clear fields included (1,024 objects take 35 KB).
pub const HEADER_MAX_BYTES: usize = 64 * 1024;
/// A whole entry on the wire or in a table.
pub const ENTRY_MAX_BYTES: usize = HEADER_MAX_BYTES + BODY_SEALED_MAX_BYTES + 1024;
/// Dependencies one entry may name; with more heads a merge entry comes first.
pub const DEPENDENCIES_MAX: usize = 64;
/// Ids in one clear field (`objects`, `covers`, `targets`) of one entry.
pub const CLEAR_FIELD_MAX: usize = 1024;
/// An object: sealed bytes coded as one.
pub const OBJECT_MAX_BYTES: usize = 4 * 1024 * 1024;
/// One message of a sync or replica stream (a 64 KiB limit turned 3 round trips into 124).
pub const MESSAGE_MAX_BYTES: usize = 1024 * 1024;
/// One frame of bulk bytes.
pub const BULK_FRAME_BYTES: usize = 64 * 1024;
/// Links in a delegation chain.
pub const DELEGATION_DEPTH_MAX: usize = 8;
/// Shards one object is coded into.
pub const SHARDS_MAX: usize = 32;
