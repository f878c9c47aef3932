//! To whom is relayed: a relay that sends anywhere is a hole into the network it stands in.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Addresses that begin alike, `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    ip: IpAddr,
    prefix: u8,
}

/// Why a text names no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no subnet; write it as 10.0.0.0/8 or fd00::/8")]
pub struct NoSubnet {
    text: String,
}

impl FromStr for Subnet {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        let refuse = || NoSubnet { text: text.to_owned() };
        let (ip, prefix) = text.split_once('/').ok_or_else(refuse)?;
        let ip: IpAddr = ip.parse().map_err(|_no_ip| refuse())?;
        let prefix: u8 = prefix.parse().map_err(|_no_number| refuse())?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        if prefix > bits { Err(refuse()) } else { Ok(Self { ip, prefix }) }
    }
}

impl TryFrom<String> for Subnet {
    type Error = NoSubnet;

    fn try_from(text: String) -> Result<Self, NoSubnet> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl Subnet {
    /// Whether `ip` lies in it.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.ip, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                (net.to_bits() ^ ip.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                (net.to_bits() ^ ip.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Whether `ip` is an address of the public internet, where a relay may send what it is given.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    !(a == 0
        || a >= 224
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_documentation()
        || is_shared
        || is_protocol
        || is_benchmark)
}

/// Only global unicast addresses, and of those none that leads back to IPv4 or to a documentation's example: 6to4 and Teredo
/// carry IPv4 addresses inside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let is_global = a & 0xE000 == 0x2000;
    let is_special = a == 0x2002 || (a == 0x2001 && (b < 0x0200 || b == 0x0DB8)) || a == 0x3FFF;
    is_global && !is_special
}
