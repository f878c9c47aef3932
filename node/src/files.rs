//! Files: cut into chunks, sealed, cached, uploaded until durable, fetched and verified.

pub mod cache;
pub mod rows;
pub mod transfer;

#[cfg(test)]
mod tests;
