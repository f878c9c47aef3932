use super::*;

fn origin(text: &str) -> Origin {
    Origin::of(text.parse().unwrap())
}

#[test]
fn addresses_fall_into_hosts_and_subnets() {
    for (one, other, same_host, same_subnet) in [
        ("192.0.2.1", "192.0.2.1", true, true),
        ("192.0.2.1", "192.0.2.200", false, true),
        ("192.0.2.1", "192.0.3.1", false, false),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true, true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false, true),
        ("2001:db8:1:2::1", "2001:db8:2:2::1", false, false),
        ("::ffff:192.0.2.1", "192.0.2.1", true, true),
    ] {
        let (left, right) = (origin(one), origin(other));
        assert_eq!(left.host == right.host, same_host, "{one} {other}");
        assert_eq!(left.subnet == right.subnet, same_subnet, "{one} {other}");
    }
}

#[test]
fn blocks_are_written_as_networks_are() {
    for (address, host, subnet) in [
        ("192.0.2.77", "192.0.2.77/32", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64", "2001:db8:1::/48"),
    ] {
        let origin = origin(address);
        assert_eq!(
            (origin.host.to_string(), origin.subnet.to_string()),
            (host.to_owned(), subnet.to_owned())
        );
    }
}

#[test]
fn own_networks_are_nearby_and_others_are_not() {
    for near in
        ["127.0.0.9", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"]
    {
        assert!(origin(near).nearby, "{near}");
    }
    for far in ["192.0.2.1", "100.64.0.1", "172.32.0.1", "2001:db8::1", "8.8.8.8"] {
        assert!(!origin(far).nearby, "{far}");
    }
}

#[test]
fn only_addresses_that_say_where_count() {
    let parsed = |text: &str| Origin::of_multiaddr(&text.parse().unwrap());
    assert_eq!(parsed("/ip4/192.0.2.1/tcp/7410"), Some(origin("192.0.2.1")));
    assert_eq!(parsed("/ip6/2001:db8::1/udp/7410/quic-v1"), Some(origin("2001:db8::1")));
    assert_eq!(parsed("/ip4/192.0.2.1/tcp/7410/p2p-circuit"), None, "the address is the relay's");
    assert_eq!(parsed("/memory/1"), None);
}
