//! A seeded world of replicas, links and failures, in which sessions must end equal.

pub(crate) mod replica;
