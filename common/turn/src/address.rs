//! Addresses as attributes: the XOR keeps routers that rewrite addresses in packets from rewriting these.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::{MAGIC, Transaction};

const IPV4: u8 = 1;
const IPV6: u8 = 2;

fn mask(transaction: Transaction) -> [u8; 16] {
    let mut mask = [0; 16];
    mask.iter_mut()
        .zip(MAGIC.to_be_bytes().into_iter().chain(transaction.0))
        .for_each(|(to, from)| *to = from);
    mask
}

fn masked<const N: usize>(mut bytes: [u8; N], transaction: Transaction) -> [u8; N] {
    bytes.iter_mut().zip(mask(transaction)).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

/// The value of an attribute for `address`.
#[must_use]
pub fn encode(address: SocketAddr, transaction: Transaction) -> Vec<u8> {
    let port = masked(address.port().to_be_bytes(), transaction);
    match address.ip() {
        IpAddr::V4(ip) => [&[0, IPV4][..], &port, &masked(ip.octets(), transaction)].concat(),
        IpAddr::V6(ip) => [&[0, IPV6][..], &port, &masked(ip.octets(), transaction)].concat(),
    }
}

/// The address in the value of an attribute; none if it is malformed.
#[must_use]
pub fn decode(value: &[u8], transaction: Transaction) -> Option<SocketAddr> {
    let (&[_, family], rest) = value.split_first_chunk::<2>()?;
    let (port, ip) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(masked(*port, transaction));
    let ip = match family {
        IPV4 => IpAddr::V4(Ipv4Addr::from(masked::<4>(ip.try_into().ok()?, transaction))),
        IPV6 => IpAddr::V6(Ipv6Addr::from(masked::<16>(ip.try_into().ok()?, transaction))),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The family that a value of `REQUESTED-ADDRESS-FAMILY` names: whether it is IPv6.
#[must_use]
pub fn wants_ipv6(value: &[u8]) -> Option<bool> {
    match *value.first()? {
        IPV4 => Some(false),
        IPV6 => Some(true),
        _ => None,
    }
}
