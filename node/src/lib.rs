//! The light node: documents and files of local-first apps, sealed, offline first, synced.

pub mod database;
pub mod documents;
