//! What browsers say to a relay, and the relay when some of them have credentials and mean no good.

use std::{net::SocketAddr, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_turn::{
    Client, Credential, Input, Issuer, Limits, Output, Relay, Rules, Subnet, Transport, address,
    attribute::{NONCE, REALM, REQUESTED_TRANSPORT, USERNAME, method},
    frame::{Frame, frame_bytes},
    integrity::Key,
    is_public,
    message::{Class, Message, Transaction, Writer},
};

use crate::{
    Room,
    check::{self, Script},
    sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "turn",
    decoders: &[
        sampled(messages, message),
        sampled(|| vec![b"10.0.0.0/8".to_vec(), b"fd00::/8".to_vec()], check::text::<Subnet>),
        sampled(|| vec![vec![0, 0, 1, 1, 8, 0, 2, 5, 3, 9], vec![1; 64]], relay),
    ],
};

const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
const ALLOCATIONS: usize = 3;

fn messages() -> Vec<Vec<u8>> {
    let request = Writer::new(Class::Request, method::ALLOCATE, Transaction([1; 12]));
    let request = request.with(REQUESTED_TRANSPORT, &[17, 0, 0, 0]).with(USERNAME, b"1:a");
    let binding = Writer::new(Class::Request, method::BINDING, Transaction([2; 12]));
    vec![request.finish(Some(&Key::of_bytes(b"key"))), binding.finish(None), vec![0x40, 0, 0, 1, 7]]
}

/// What decodes can be asked for all it has; what nobody signed is signed by nobody.
fn message(bytes: &[u8]) {
    if let Some(first) = bytes.first_chunk::<4>() {
        let _length = frame_bytes(*first);
    }
    let Some(Frame::Message(bytes)) = Frame::decode(bytes) else { return };
    let Ok(message) = Message::decode(bytes) else { return };
    assert!(!message.is_signed_with(&Key::of_bytes(b"another key")));
    for kind in message.kinds() {
        let value = message.get(kind).expect("it is there");
        let _read = (message.text(kind), address::decode(value, message.transaction));
    }
}

/// Two users, three clients, and anything: what is opened and sent stays within the rules.
fn relay(bytes: &[u8]) {
    let issuer = Issuer::new(&[7; 32]);
    let limits =
        Limits { allocations: ALLOCATIONS, allocations_per_user: 2, bytes_per_sec: 5000, bytes_per_user_per_sec: 3000 };
    let rules = Rules {
        realm: "relay".to_owned(),
        external: "8.8.8.8".parse().expect("an address"),
        ports: 50_000..=50_009,
        peers: vec!["10.0.0.0/8".parse().expect("a subnet")],
        limits,
    };
    let mut relay = Relay::new(rules, issuer.clone(), NOW);
    let credentials = [1, 2].map(|user| issuer.issue(&PeerId::from_bytes([user; 32]), NOW.after(Duration::from_secs(900))));
    let mut nonces = [const { String::new() }; 3];
    let (mut script, mut now, mut open) = (Script(bytes), NOW, Vec::new());
    while !script.is_over() {
        let number = usize::from(script.byte() % 3);
        let client = Client {
            transport: if number == 2 { Transport::Tcp } else { Transport::Udp },
            address: SocketAddr::new("198.51.100.1".parse().expect("an address"), 4000 + u16::from(number as u8)),
        };
        let said;
        let input = match script.byte() % 8 {
            0 => Input::Tick,
            1 => Input::Gone(client),
            2 => {
                let length = usize::from(script.byte());
                Input::Client { client, bytes: script.take(length) }
            }
            3 => {
                let port = 50_000 + u16::from(script.byte() % 12);
                let peer = peer(&mut script);
                let length = usize::from(script.byte());
                Input::Peer { port, peer, bytes: script.take(length) }
            }
            _ => {
                let credential = &credentials[usize::from(script.byte() % 2)];
                said = request(&mut script, credential, &nonces[number]);
                Input::Client { client, bytes: &said }
            }
        };
        let mut outputs = relay.handle(input, now);
        while let Some(output) = outputs.pop() {
            match output {
                Output::Open(port) => {
                    let is_free = script.byte() % 4 != 0;
                    if is_free {
                        assert!(!open.contains(&port), "a port is opened twice");
                        open.push(port);
                    }
                    outputs.extend(relay.handle(if is_free { Input::Opened(port) } else { Input::Unopened(port) }, now));
                }
                Output::Close(port) => open.retain(|other| *other != port),
                Output::Peer { port, peer, .. } => {
                    assert!(open.contains(&port), "something is sent from a closed port");
                    let ip = peer.ip();
                    let is_named = ip.to_string().starts_with("10.");
                    assert!(is_named || (is_public(ip) && ip.to_string() != "8.8.8.8"), "{ip} is sent to");
                }
                Output::Client { bytes, .. } => {
                    if let Ok(message) = Message::decode(&bytes)
                        && let Some(nonce) = message.text(NONCE)
                    {
                        nonces[number] = nonce.to_owned();
                    }
                }
            }
        }
        assert!(relay.allocations() <= ALLOCATIONS && relay.users() <= relay.allocations());
        assert!(open.len() <= relay.allocations());
        now = now.after(Duration::from_secs(u64::from(script.byte())));
    }
}

fn peer(script: &mut Script<'_>) -> SocketAddr {
    let hosts = ["1.2.3.4", "10.0.0.1", "127.0.0.1", "8.8.8.8", "192.168.0.1", "::1"];
    let host = hosts[usize::from(script.byte()) % hosts.len()];
    SocketAddr::new(host.parse().expect("an address"), 50_000 + u16::from(script.byte() % 12))
}

/// A request, or an indication, with whatever attributes.
fn request(script: &mut Script<'_>, credential: &Credential, nonce: &str) -> Vec<u8> {
    let kinds = [0x000C, 0x000D, 0x0012, 0x0013, 0x0017, 0x0018, 0x0019, 0x8022];
    let methods = [method::ALLOCATE, method::REFRESH, method::CREATE_PERMISSION, method::CHANNEL_BIND, method::SEND];
    let method = methods[usize::from(script.byte()) % methods.len()];
    let class = if method == method::SEND { Class::Indication } else { Class::Request };
    let transaction = Transaction([script.byte(); 12]);
    let mut writer = Writer::new(class, method, transaction);
    if method == method::ALLOCATE {
        writer = writer.with(REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    }
    if script.byte() % 4 != 0 {
        writer = writer.with_address(0x0012, peer(script));
    }
    for _ in 0..script.byte() % 4 {
        let kind = kinds[usize::from(script.byte()) % kinds.len()];
        let length = usize::from(script.byte() % 9);
        writer = writer.with(kind, script.take(length));
    }
    if class == Class::Indication {
        return writer.finish_plain();
    }
    let Credential { username, password } = credential;
    let key = Key::long_term(username, "relay", password);
    let writer = writer.with(USERNAME, username.as_bytes()).with(REALM, b"relay").with(NONCE, nonce.as_bytes());
    writer.finish((script.byte() % 8 != 0).then_some(&key))
}
