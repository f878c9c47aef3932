//! Nonces that nobody has to remember: the relay recognises its own.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cosmic_common::{hash, time::Timestamp};
use data_encoding::HEXLOWER;

use crate::integrity::is_same;

/// How long one counts; a client takes the next by itself.
const LIFETIME: Duration = Duration::from_secs(600);
/// Bytes of the MAC in one.
const MAC_BYTES: usize = 12;

fn mac(secret: &[u8; 32], until: u64, client: SocketAddr) -> String {
    let ip = match client.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let parts: [&[u8]; 3] = [&until.to_be_bytes(), &ip.octets(), &client.port().to_be_bytes()];
    let mac = hash::keyed(secret, &parts);
    HEXLOWER.encode(mac.get(..MAC_BYTES).unwrap_or_default())
}

/// A nonce for `client`.
pub(crate) fn of(secret: &[u8; 32], client: SocketAddr, now: Timestamp) -> String {
    let until = now.after(LIFETIME).unix_ms() / 1000;
    format!("{until:x}-{}", mac(secret, until, client))
}

/// Whether it was given to `client`, and still counts.
pub(crate) fn holds(secret: &[u8; 32], nonce: &str, client: SocketAddr, now: Timestamp) -> bool {
    let Some((until, given)) = nonce.split_once('-') else { return false };
    let Ok(until) = u64::from_str_radix(until, 16) else { return false };
    until > now.unix_ms() / 1000 && is_same(given.as_bytes(), mac(secret, until, client).as_bytes())
}
