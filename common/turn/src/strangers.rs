//! How often those are answered who have shown nothing: anybody can write another's address on a datagram.

use std::net::{IpAddr, SocketAddr};

use cosmic_common::{hash, time::Timestamp};

use crate::bucket::Bucket;

/// Buckets; subnets share one by chance, and nothing grows however many addresses are written.
const BUCKETS: usize = 1024;
/// Answers to one subnet in a second. An answer has some 150 bytes at most, so that a victim gets 15 kB/s.
const ANSWERS_PER_SEC: u64 = 100;

#[derive(Debug)]
pub(crate) struct Strangers {
    secret: [u8; 32],
    buckets: Vec<Option<Bucket>>,
}

impl Strangers {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret, buckets: vec![None; BUCKETS] }
    }

    /// Whether something from `client` is looked at.
    pub(crate) fn may_ask(&mut self, client: SocketAddr, now: Timestamp) -> bool {
        let subnet = match client.ip() {
            IpAddr::V4(ip) => ip.to_bits().to_be_bytes().first_chunk::<3>().map(|net| net.to_vec()),
            IpAddr::V6(ip) => ip.octets().first_chunk::<6>().map(|net| net.to_vec()),
        };
        let [a, b, ..] = hash::keyed(&self.secret, &[&subnet.unwrap_or_default()]);
        let slot = usize::from(u16::from_be_bytes([a, b])) % BUCKETS;
        let Some(bucket) = self.buckets.get_mut(slot) else { return false };
        bucket.get_or_insert(Bucket::full(ANSWERS_PER_SEC, now)).take(1, ANSWERS_PER_SEC, now)
    }
}
