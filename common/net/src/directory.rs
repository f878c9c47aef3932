//! The directory: opaque records that the house's validator judges.

/// The longest key of a directory record.
pub const KEY_MAX_BYTES: usize = 64;
/// The longest value: a signed member record with its addresses takes about 2 KiB.
pub const VALUE_MAX_BYTES: usize = 16 * 1024;

/// What only the house can know about directory records, whose bytes mean nothing to the network.
pub trait Validator: Send + Sync + 'static {
    /// Whether `value` may stand under `key`: mostly that it is signed by whom the key names.
    fn accepts(&self, key: &[u8], value: &[u8]) -> bool;

    /// Whether `new` replaces `old`; both have been accepted.
    fn supersedes(&self, new: &[u8], old: &[u8]) -> bool {
        new > old
    }
}

/// Refuses every record: for processes that keep no directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefuseAll;

impl Validator for RefuseAll {
    fn accepts(&self, _key: &[u8], _value: &[u8]) -> bool {
        false
    }
}
