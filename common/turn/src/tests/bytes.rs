//! Messages as bytes: those of the standard (RFC 5769), and any.

use proptest::prelude::*;

use super::client::{START, at, relay};
use crate::{
    Client, Input, Transport, address,
    attribute::{CHANNEL_NUMBER, NONCE, REALM, USERNAME, XOR_MAPPED_ADDRESS, method},
    frame::{Frame, channel_data, frame_bytes},
    integrity::Key,
    message::{Class, Malformed, Message, Transaction, Writer},
};

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    data_encoding::HEXLOWER.decode(&digits).unwrap()
}

/// Section 2.2: a response over IPv4.
const RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae
    8022000b7465737420766563746f7220
    002000080001a147e112a643
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7
    80280004c07d4c96";

/// Section 2.4: a request with long-term credentials.
const REQUEST: &str = "000100602112a44278ad3433c6ad72c029da412e
    00060012e3839ee38388e383aae38383e382afe382b90000
    0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e6f726700
    00080014f67024656dd64a3e02b8e0712e85c9a28ca89666";

#[test]
fn a_response_of_the_standard_is_understood() {
    let bytes = unhex(RESPONSE);
    let message = Message::decode(&bytes).unwrap();
    assert_eq!((message.class, message.method), (Class::Success, method::BINDING));
    let mapped = message.get(XOR_MAPPED_ADDRESS).unwrap();
    assert_eq!(address::decode(mapped, message.transaction), Some(at("192.0.2.1:32853")));
    assert!(message.is_signed_with(&Key::of_bytes(b"VOkJxbRl1RmTxUk/WvJxBt")));
    assert!(!message.is_signed_with(&Key::of_bytes(b"VOkJxbRl1RmTxUk/WvJxBu")));
    let mut torn = bytes.clone();
    torn[30] ^= 1;
    assert_eq!(Message::decode(&torn).unwrap_err(), Malformed::Fingerprint);
    assert_eq!(Message::decode(&bytes[..bytes.len() - 4]).unwrap_err(), Malformed::Length);
}

#[test]
fn a_request_with_long_term_credentials_of_the_standard_is_believed() {
    let bytes = unhex(REQUEST);
    let message = Message::decode(&bytes).unwrap();
    let username = message.text(USERNAME).unwrap();
    assert_eq!(username, "マトリックス");
    assert_eq!(message.text(NONCE), Some("f//499k954d6OL34oL9FSTvy64sA"));
    let realm = message.text(REALM).unwrap();
    assert!(message.is_signed_with(&Key::long_term(username, realm, "TheMatrIX")));
    assert!(!message.is_signed_with(&Key::long_term(username, realm, "TheMatrix")));
}

#[test]
fn what_is_written_is_the_standards() {
    let transaction = Transaction(unhex("b7e7a701bc34d686fa87dfae").try_into().unwrap());
    let key = Key::of_bytes(b"VOkJxbRl1RmTxUk/WvJxBt");
    let written = Writer::new(Class::Success, method::BINDING, transaction)
        .with(0x8022, b"test vector")
        .with_address(XOR_MAPPED_ADDRESS, at("192.0.2.1:32853"))
        .finish(Some(&key));
    // Their padding is a space, ours is zero; everything else is the same up to the MAC.
    let mut theirs = unhex(RESPONSE);
    theirs[35] = 0;
    assert_eq!(written[..44], theirs[..44]);
    assert!(Message::decode(&written).unwrap().is_signed_with(&key));
}

#[test]
fn what_nobody_signed_is_not_looked_at() {
    let key = Key::of_bytes(b"key");
    let mut bytes = Writer::new(Class::Request, method::ALLOCATE, Transaction([1; 12])).finish(Some(&key));
    bytes.truncate(bytes.len() - 8);
    bytes.extend([0, 0x06, 0, 4, b'e', b'v', b'i', b'l']);
    bytes[3] = u8::try_from(bytes.len() - 20).unwrap();
    let message = Message::decode(&bytes).unwrap();
    assert!(message.is_signed_with(&key));
    assert_eq!(message.get(USERNAME), None);
}

#[test]
fn frames_of_a_connection_are_told_apart() {
    assert_eq!(frame_bytes([0x00, 0x01, 0, 8]), Some(28));
    assert_eq!(frame_bytes([0x40, 0x00, 0, 5]), Some(12));
    assert_eq!(frame_bytes([0x80, 0x00, 0, 5]), None);
    let padded = channel_data(0x4001, b"hello", true);
    assert_eq!(padded.len(), 12);
    assert_eq!(Frame::decode(&padded), Some(Frame::Channel(0x4001, b"hello")));
    assert_eq!(Frame::decode(&channel_data(0x4001, b"hello", false)[..8]), None);
}

proptest! {
    #[test]
    fn addresses_come_back(ip: [u8; 16], four: bool, port: u16, transaction: [u8; 12]) {
        let ip = if four { std::net::IpAddr::from(*ip.first_chunk::<4>().unwrap()) } else { ip.into() };
        let (here, transaction) = (std::net::SocketAddr::new(ip, port), Transaction(transaction));
        prop_assert_eq!(address::decode(&address::encode(here, transaction), transaction), Some(here));
    }

    #[test]
    fn messages_come_back(number in 0u16..0xFFF, value: Vec<u8>, other: Vec<u8>, key: Option<[u8; 16]>) {
        let key = key.map(|key| Key::of_bytes(&key));
        let writer = Writer::new(Class::Indication, number, Transaction([3; 12]));
        let bytes = writer.with(CHANNEL_NUMBER, &value).with(REALM, &other).finish(key.as_ref());
        let message = Message::decode(&bytes).unwrap();
        prop_assert_eq!((message.class, message.method), (Class::Indication, number));
        prop_assert_eq!(message.get(CHANNEL_NUMBER), Some(&value[..]));
        prop_assert_eq!(message.get(REALM), Some(&other[..]));
        prop_assert_eq!(message.is_signed(), key.is_some());
        prop_assert!(key.is_none_or(|key| message.is_signed_with(&key)));
    }

    /// Whatever comes from whom, the relay answers or not, opens nothing and goes on.
    #[test]
    fn nothing_that_comes_stops_the_relay(
        kind in prop::sample::select(vec![0u16, 1, 3, 4, 6, 8, 9, 0x11, 0x16, 0x4000, 0x4001, 0xFFFF]),
        attributes: Vec<(u8, Vec<u8>)>,
        tail: Vec<u8>,
    ) {
        let mut writer = Writer::new(Class::Request, 1, Transaction([9; 12]));
        for (kind, value) in &attributes {
            writer = writer.with((*kind).into(), value);
        }
        let mut bytes = [writer.finish_plain(), tail].concat();
        bytes[..2].copy_from_slice(&kind.to_be_bytes());
        let client = Client { transport: Transport::Udp, address: at("198.51.100.1:9") };
        let mut relay = relay();
        let outputs = relay.handle(Input::Client { client, bytes: &bytes }, START);
        let is_answer = |output: &crate::Output| matches!(output, crate::Output::Client { client: to, .. } if *to == client);
        prop_assert!(outputs.len() <= 1 && outputs.iter().all(is_answer));
        prop_assert_eq!((relay.allocations(), relay.users()), (0, 0));
    }
}
