//! To whom is relayed.

use std::net::IpAddr;

use crate::{Subnet, is_public};

#[test]
fn nothing_is_relayed_into_private_networks() {
    let closed = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.9.9",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for ip in closed {
        assert!(!is_public(ip.parse().unwrap()), "{ip} would be relayed to");
    }
    for ip in
        ["1.1.1.1", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "223.255.255.1"]
    {
        assert!(is_public(ip.parse().unwrap()), "{ip} would be refused");
    }
    for ip in ["2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1"] {
        assert!(is_public(ip.parse().unwrap()), "{ip} would be refused");
    }
}

#[test]
fn subnets_contain_what_begins_alike() {
    let contains = |subnet: &str, ip: &str| {
        let (subnet, ip): (Subnet, IpAddr) = (subnet.parse().unwrap(), ip.parse().unwrap());
        assert_eq!(subnet.to_string().parse(), Ok(subnet));
        subnet.contains(ip)
    };
    assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
    assert!(contains("192.0.2.7/32", "192.0.2.7") && !contains("192.0.2.7/32", "192.0.2.6"));
    assert!(contains("0.0.0.0/0", "192.0.2.7") && !contains("0.0.0.0/0", "::1"));
    assert!(
        contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1") && contains("::/0", "fe80::1")
    );
    for text in ["10.0.0.0", "10.0.0.0/33", "::/129", "ten/8", "10.0.0.0/", ""] {
        assert!(text.parse::<Subnet>().is_err(), "{text}");
    }
}
