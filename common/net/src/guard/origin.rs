//! Where a connection comes from: an address, and the subnet around it that somebody most likely has as a whole.

use std::net::{IpAddr, Ipv6Addr};

use libp2p::{Multiaddr, multiaddr::Protocol as Part};

use crate::address::is_circuit;

/// Bits by which IPv4 addresses stand within those of IPv6.
const MAPPED_BITS: u8 = 96;
/// One address of IPv4, and the smallest subnet that is announced to others.
const IPV4_BITS: [u8; 2] = [32, 24];
/// One subnet of IPv6, which every home gets whole, and what a provider gives to one customer.
const IPV6_BITS: [u8; 2] = [64, 48];

/// Addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Block {
    prefix: u128,
    bits: u8,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The address: all of IPv4, the first half of IPv6.
    pub(crate) host: Block,
    /// The subnet around it.
    pub(crate) subnet: Block,
    /// Whether it is of this machine or of its own network.
    pub(crate) nearby: bool,
}

impl Origin {
    pub(crate) fn of(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let (bits, lengths, mapped) = match ip {
            IpAddr::V4(ip) => (ip.to_ipv6_mapped().to_bits(), IPV4_BITS, MAPPED_BITS),
            IpAddr::V6(ip) => (ip.to_bits(), IPV6_BITS, 0),
        };
        let [host, subnet] = lengths.map(|length| Block::new(bits, mapped + length));
        Self { host, subnet, nearby: is_nearby(ip) }
    }

    /// The same of a libp2p address; `None` if it does not say, as that of a peer behind a relay does not.
    pub(crate) fn of_multiaddr(address: &Multiaddr) -> Option<Self> {
        if is_circuit(address) {
            return None;
        }
        match address.iter().next()? {
            Part::Ip4(ip) => Some(Self::of(ip.into())),
            Part::Ip6(ip) => Some(Self::of(ip.into())),
            _ => None,
        }
    }
}

impl Block {
    fn new(address: u128, bits: u8) -> Self {
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
        Self { prefix: address & mask, bits }
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = Ipv6Addr::from_bits(self.prefix);
        match address.to_ipv4_mapped() {
            Some(address) => write!(f, "{address}/{}", self.bits.saturating_sub(MAPPED_BITS)),
            None => write!(f, "{address}/{}", self.bits),
        }
    }
}

fn is_nearby(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
