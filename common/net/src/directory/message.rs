//! The two frames of `/cosmic/directory/1` (`docs/protocol/net.md`): a question about one key, and what a server says to it.

use cosmic_common::{address::Address, id::PeerId, limit::ADDRESS_MAX_BYTES};

use super::{
    KEY_MAX_BYTES, VALUE_MAX_BYTES,
    place::Place,
    walk::{NAMED_CLOSEST, NAMED_SPREAD},
};

/// Addresses an answer tells of one server: both transports of both families.
pub(crate) const NAMED_ADDRESSES_MAX: usize = 4;
/// Servers an answer names.
pub(crate) const NAMED_MAX: usize = NAMED_CLOSEST + NAMED_SPREAD;
/// The longest question.
pub(crate) const QUESTION_MAX_BYTES: usize = 34 + KEY_MAX_BYTES + VALUE_MAX_BYTES;
/// The longest answer.
pub(crate) const ANSWER_MAX_BYTES: usize =
    3 + VALUE_MAX_BYTES + NAMED_MAX * (33 + NAMED_ADDRESSES_MAX * (2 + ADDRESS_MAX_BYTES));

const FIND: u8 = 0;
const KEEP: u8 = 1;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Question {
    /// What stands under a key.
    Find { key: Vec<u8> },
    /// To keep something there.
    Keep { key: Vec<u8>, value: Vec<u8> },
}

/// What a server says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Whether it has the record, or keeps it.
    pub(crate) has: bool,
    /// The record, to whoever asks for it.
    pub(crate) value: Vec<u8>,
    /// Other servers, those nearest to the key first.
    pub(crate) servers: Vec<(PeerId, Vec<Address>)>,
}

impl Question {
    pub(crate) fn key(&self) -> &[u8] {
        match self {
            Self::Find { key } | Self::Keep { key, .. } => key,
        }
    }

    /// What is asked as a byte, the place near which servers are to be named, the length of the key as a byte, the key, the value.
    pub(crate) fn to_bytes(&self, near: Place) -> Vec<u8> {
        let (kind, key, value) = match self {
            Self::Find { key } => (FIND, key, &[][..]),
            Self::Keep { key, value } => (KEEP, key, value.as_slice()),
        };
        let length = u8::try_from(key.len()).unwrap_or(u8::MAX);
        [&[kind], near.as_bytes().as_slice(), &[length], key, value].concat()
    }

    /// `None` if it is malformed.
    pub(crate) fn from_bytes(frame: &[u8]) -> Option<(Self, Place)> {
        let (kind, rest) = frame.split_first()?;
        let (near, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (key, value) = rest.split_at_checked(usize::from(*length))?;
        let key = Some(key).filter(|key| key.len() <= KEY_MAX_BYTES)?.to_vec();
        let question = match *kind {
            FIND if value.is_empty() => Self::Find { key },
            KEEP if value.len() <= VALUE_MAX_BYTES => Self::Keep { key, value: value.to_vec() },
            _ => return None,
        };
        Some((question, Place::from_bytes(*near)))
    }
}

impl Answer {
    /// Whether it has it as a byte, the value after its length, and each server: its id, and its addresses after their number.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut frame = vec![u8::from(self.has)];
        put(&mut frame, &self.value);
        for (peer, addresses) in self.servers.iter().take(NAMED_MAX) {
            let told = addresses.len().min(NAMED_ADDRESSES_MAX);
            frame.extend_from_slice(peer.as_bytes());
            frame.push(u8::try_from(told).unwrap_or_default());
            addresses.iter().take(told).for_each(|address| put(&mut frame, address.as_str().as_bytes()));
        }
        frame
    }

    /// `None` if it is malformed.
    pub(crate) fn from_bytes(frame: &[u8]) -> Option<Self> {
        let (has, rest) = frame.split_first()?;
        let (value, mut rest) = take(rest)?;
        let has = match *has {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mut servers = Vec::new();
        while !rest.is_empty() {
            let (peer, after) = rest.split_first_chunk::<32>()?;
            let (count, mut after) = after.split_first()?;
            if servers.len() >= NAMED_MAX || usize::from(*count) > NAMED_ADDRESSES_MAX {
                return None;
            }
            let mut addresses = Vec::new();
            for _ in 0..*count {
                let (text, next) = take(after)?;
                addresses.push(std::str::from_utf8(text).ok()?.parse().ok()?);
                after = next;
            }
            servers.push((PeerId::from_bytes(*peer), addresses));
            rest = after;
        }
        Some(Self { has, value: value.to_vec(), servers })
    }
}

/// Bytes after their number as two bytes, big-endian. What is longer was bounded before it came here.
fn put(frame: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend(bytes.iter().take(usize::from(length)));
}

fn take(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = frame.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(servers: usize) -> Answer {
        let address: Address = "/ip4/192.0.2.7/tcp/7420".parse().unwrap();
        let server = |number: u8| (PeerId::from_bytes([number; 32]), vec![address.clone()]);
        let numbers = (0..servers).map(|number| u8::try_from(number).unwrap());
        Answer { has: true, value: b"v".to_vec(), servers: numbers.map(server).collect() }
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let find = Question::Find { key: b"key".to_vec() };
        let near = Place::from_bytes([7; 32]);
        assert_eq!(find.to_bytes(near), [&[0][..], &[7; 32], b"\x03key"].concat());
        let keep = Question::Keep { key: b"key".to_vec(), value: b"value".to_vec() };
        assert_eq!(keep.to_bytes(near), [&[1][..], &[7; 32], b"\x03keyvalue"].concat());
        for question in [find, keep] {
            assert_eq!(Question::from_bytes(&question.to_bytes(near)), Some((question, near)));
        }
        let expected = [&b"\x01\x00\x01v"[..], &[0; 32], b"\x01\x00\x17/ip4/192.0.2.7/tcp/7420"].concat();
        assert_eq!(answer(1).to_bytes(), expected);
        assert_eq!(Answer::from_bytes(&expected), Some(answer(1)));
        assert_eq!(Answer::default().to_bytes(), b"\x00\x00\x00");
    }

    #[test]
    fn what_is_out_of_bounds_is_malformed() {
        let read = |kind: u8, rest: &[u8]| Question::from_bytes(&[&[kind][..], &[7; 32], rest].concat());
        assert!(read(0, b"\x03key").is_some());
        assert!(read(0, b"\x03keyvalue").is_none(), "who asks brings nothing");
        assert!(read(2, b"\x03key").is_none());
        assert!(read(0, &[&[65][..], &[1; 65]].concat()).is_none());
        assert!(read(1, &[&[1, 1][..], &vec![1; VALUE_MAX_BYTES + 1]].concat()).is_none());
        assert!(Answer::from_bytes(&answer(NAMED_MAX).to_bytes()).is_some());
        let one = [&[9; 32][..], &[0]].concat();
        assert!(Answer::from_bytes(&[answer(NAMED_MAX).to_bytes(), one].concat()).is_none());
        assert_eq!(Answer::from_bytes(b"\x02\x00\x00"), None);
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(frame in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some((question, near)) = Question::from_bytes(&frame) {
                prop_assert_eq!(question.to_bytes(near), frame.clone());
            }
            if let Some(answer) = Answer::from_bytes(&frame) {
                prop_assert!(answer.servers.len() <= NAMED_MAX);
            }
        }
    }
}
