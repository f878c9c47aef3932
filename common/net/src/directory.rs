//! The directory: opaque records that the house's validator judges, kept and found by servers that answered from where they say they are.
//!
//! Kademlia keeps the tables: who is there, and near whom. Finding and keeping are walks of our own over them.

use std::time::Duration;

use cosmic_common::{address::Address, id::PeerId};

pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod place;
pub(crate) mod searches;
pub(crate) mod service;
pub(crate) mod store;
pub(crate) mod table;
pub(crate) mod walk;

/// The longest key of a directory record.
pub const KEY_MAX_BYTES: usize = 64;
/// The longest value: a listing of a dozen signed presences.
pub const VALUE_MAX_BYTES: usize = 16 * 1024;

/// What only the house can know about directory records, whose bytes mean nothing to the network.
pub trait Validator: Send + Sync + 'static {
    /// What stands under `key` once `value` has come to what was `known`, which has been judged before: `None` if nothing of
    /// `value` counts.
    fn judge(&self, key: &[u8], known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>>;

    /// Signatures that judging `value` takes, for which whoever brings it pays.
    fn signatures(&self, _value: &[u8]) -> usize {
        1
    }
}

/// Refuses every record: for processes that keep no directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefuseAll;

impl Validator for RefuseAll {
    fn judge(&self, _key: &[u8], _known: Option<&[u8]>, _value: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// What is worth keeping over a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The records that are kept for others.
    pub records: Vec<Kept>,
    /// The servers that answered, and where.
    pub servers: Vec<(PeerId, Vec<Address>)>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// How long it is still to be kept.
    pub left: Duration,
}

/// How the directory is, for people who ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// Servers in the routing table.
    pub servers: usize,
    /// Servers that an earlier run knew.
    pub remembered: usize,
    /// Records kept for others.
    pub records: usize,
    /// The search that ended last.
    pub search: Option<Search>,
}

/// A search that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Search {
    /// How long ago.
    pub ago: Duration,
    /// Servers that had something that counts.
    pub copies: usize,
}
