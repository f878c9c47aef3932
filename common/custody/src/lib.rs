//! Who keeps what: receipts, levels, placement, quota, and the messages of those who keep and those who ask.

pub mod error;
pub mod level;
pub mod message;
pub mod placement;
pub mod receipt;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use level::Level;
pub use placement::{Holding, Placement};
pub use receipt::{Held, Promise, Receipt};
