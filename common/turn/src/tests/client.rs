//! A client of the relay, and the world around it.

use std::net::SocketAddr;

use cosmic_common::{id::PeerId, time::Timestamp};

use crate::{
    Client, Credential, Input, Issuer, Limits, Output, Relay, Rules, Transport,
    attribute::{
        CHANNEL_NUMBER, DATA, ERROR_CODE, LIFETIME, NONCE, REALM, REQUESTED_TRANSPORT, USERNAME,
        XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, method,
    },
    integrity::Key,
    message::{Class, Message, Transaction, Writer},
};

pub(super) const REALM_NAME: &str = "relay";
pub(super) const START: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

pub(super) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn issuer() -> Issuer {
    Issuer::new(&[7; 32])
}

pub(super) fn rules() -> Rules {
    Rules {
        realm: REALM_NAME.to_owned(),
        external: "203.0.113.9".parse().unwrap(),
        ports: 50_000..=50_099,
        peers: Vec::new(),
        limits: Limits {
            allocations: 4,
            allocations_per_user: 2,
            bytes_per_sec: 1_000_000,
            bytes_per_user_per_sec: 10_000,
        },
    }
}

pub(super) fn relay() -> Relay {
    Relay::new(rules(), issuer(), START)
}

/// A device's credential for `secs` seconds from the start.
pub(super) fn credential(device: u8, secs: u64) -> Credential {
    issuer().issue(&PeerId::from_bytes([device; 32]), Timestamp::from_unix_ms(START.unix_ms() + 1000 * secs))
}

/// Somebody who asks, with the nonce he was given last.
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) credential: Credential,
    pub(super) now: Timestamp,
    nonce: String,
    asked: u8,
}

/// An answer: whether it is good, its bytes, and what else is to be done.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    pub(super) rest: Vec<Output>,
}

impl Answer {
    pub(super) fn message(&self) -> Message<'_> {
        Message::decode(&self.bytes).unwrap()
    }

    /// The number of the error; none of a good answer.
    pub(super) fn error(&self) -> Option<u16> {
        let message = self.message();
        let value = message.get(ERROR_CODE)?;
        assert_eq!(message.class, Class::Error);
        Some(u16::from(value[2]) * 100 + u16::from(value[3]))
    }

    pub(super) fn relayed(&self) -> SocketAddr {
        let message = self.message();
        crate::address::decode(message.get(XOR_RELAYED_ADDRESS).unwrap(), message.transaction).unwrap()
    }

    pub(super) fn lifetime(&self) -> u32 {
        u32::from_be_bytes(self.message().get(LIFETIME).unwrap().try_into().unwrap())
    }
}

impl Asker {
    pub(super) fn new(address: &str, credential: Credential) -> Self {
        let client = Client { transport: Transport::Udp, address: at(address) };
        Self { client, credential, now: START, nonce: String::new(), asked: 0 }
    }

    pub(super) fn key(&self) -> Key {
        let Credential { username, password } = &self.credential;
        Key::long_term(username, REALM_NAME, password)
    }

    pub(super) fn transaction(&mut self) -> Transaction {
        self.asked += 1;
        Transaction([self.asked; 12])
    }

    pub(super) fn request(&mut self, method: u16, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let writer = Writer::new(Class::Request, method, self.transaction());
        let writer = attributes.iter().fold(writer, |writer, (kind, value)| writer.with(*kind, value));
        let writer = writer.with(USERNAME, self.credential.username.as_bytes());
        let writer = writer.with(REALM, REALM_NAME.as_bytes()).with(NONCE, self.nonce.as_bytes());
        writer.finish(Some(&self.key()))
    }

    /// Sends `bytes` and takes the answer; ports that are to be opened are.
    pub(super) fn say(&self, relay: &mut Relay, bytes: &[u8]) -> Answer {
        let mut rest = relay.handle(Input::Client { client: self.client, bytes }, self.now);
        if let [Output::Open(port)] = rest.as_slice() {
            let opened = Input::Opened(*port);
            rest.extend(relay.handle(opened, self.now));
        }
        let mut answers = rest.extract_if(.., |output| matches!(output, Output::Client { .. }));
        let Some(Output::Client { client, bytes }) = answers.next() else { panic!("there is no answer") };
        drop(answers);
        assert_eq!(client, self.client);
        Answer { bytes, rest }
    }

    /// Asks, and asks again with the nonce that was given for it.
    pub(super) fn ask(&mut self, relay: &mut Relay, method: u16, attributes: &[(u16, Vec<u8>)]) -> Answer {
        let request = self.request(method, attributes);
        let answer = self.say(relay, &request);
        if answer.error() != Some(438) {
            return answer;
        }
        self.nonce = answer.message().text(NONCE).unwrap().to_owned();
        let request = self.request(method, attributes);
        self.say(relay, &request)
    }

    pub(super) fn allocate(&mut self, relay: &mut Relay) -> Answer {
        self.ask(relay, method::ALLOCATE, &[(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])])
    }

    /// Allocates, and says where.
    pub(super) fn relayed(&mut self, relay: &mut Relay) -> SocketAddr {
        let answer = self.allocate(relay);
        assert_eq!(answer.error(), None);
        assert!(answer.message().is_signed_with(&self.key()));
        answer.relayed()
    }

    pub(super) fn refresh(&mut self, relay: &mut Relay, secs: u32) -> Answer {
        self.ask(relay, method::REFRESH, &[(LIFETIME, secs.to_be_bytes().to_vec())])
    }

    /// A peer as an attribute of the next request.
    pub(super) fn peer(&self, peer: SocketAddr, later: u8) -> (u16, Vec<u8>) {
        let transaction = Transaction([self.asked + later; 12]);
        (XOR_PEER_ADDRESS, crate::address::encode(peer, transaction))
    }

    pub(super) fn permit(&mut self, relay: &mut Relay, peer: &str) -> Answer {
        let peer = self.peer(at(peer), 1);
        self.ask(relay, method::CREATE_PERMISSION, &[peer])
    }

    pub(super) fn bind(&mut self, relay: &mut Relay, number: u16, peer: &str) -> Answer {
        let peer = self.peer(at(peer), 1);
        let number = [number.to_be_bytes(), [0, 0]].concat();
        self.ask(relay, method::CHANNEL_BIND, &[peer, (CHANNEL_NUMBER, number)])
    }

    /// Sends `data` to `peer`, and says what becomes of them.
    pub(super) fn send(&mut self, relay: &mut Relay, peer: &str, data: &[u8]) -> Vec<Output> {
        let writer = Writer::new(Class::Indication, method::SEND, self.transaction());
        let bytes = writer.with_address(XOR_PEER_ADDRESS, at(peer)).with(DATA, data).finish_plain();
        relay.handle(Input::Client { client: self.client, bytes: &bytes }, self.now)
    }
}
