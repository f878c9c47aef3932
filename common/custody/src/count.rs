//! Counting: from receipts to levels. Any order of receipts, and any repetition, gives one verdict.
//!
//! A receipt counts if its holder signed it (`Receipt::open` has seen to that), is a current member, lives the life
//! it signed in, and speaks of what is counted. Everything else is kept out, or kept and not counted.

mod lives;
pub mod log;
pub mod object;

#[cfg(test)]
mod tests;
