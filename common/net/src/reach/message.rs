//! The two frames of `/cosmic/reach/1` (`docs/protocol/net.md`): which addresses to try, and what came of each, and when.

use cosmic_common::time::Timestamp;
use libp2p::Multiaddr;

use super::CANDIDATES_MAX;
use crate::address;

/// The longest question: as many addresses as one has, each with its length.
pub(crate) const QUESTION_MAX_BYTES: usize = CANDIDATES_MAX * (2 + cosmic_common::limit::ADDRESS_MAX_BYTES);
/// The longest answer: a byte for each address, and the time.
pub(crate) const ANSWER_MAX_BYTES: usize = CANDIDATES_MAX + size_of::<u64>();

const UNREACHED: u8 = 0;
const REACHED: u8 = 1;
const UNTRIED: u8 = 2;

/// Asks to be dialed at each of `addresses`: for each its length as two bytes, big-endian, and its text.
pub(crate) fn question(addresses: &[Multiaddr]) -> Vec<u8> {
    let mut frame = Vec::new();
    for text in addresses.iter().filter_map(address::from_multiaddr).take(CANDIDATES_MAX) {
        let text = text.as_str().as_bytes();
        if let Ok(length) = u16::try_from(text.len()) {
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(text);
        }
    }
    frame
}

/// The addresses of a question; `None` if it is malformed.
pub(crate) fn read_question(mut frame: &[u8]) -> Option<Vec<Multiaddr>> {
    let mut addresses = Vec::new();
    while !frame.is_empty() {
        let (length, rest) = frame.split_first_chunk()?;
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let address: cosmic_common::address::Address = std::str::from_utf8(text).ok()?.parse().ok()?;
        addresses.push(address::to_multiaddr(&address).ok()?);
        frame = rest;
        if addresses.len() > CANDIDATES_MAX {
            return None;
        }
    }
    Some(addresses)
}

/// Says what came of each address, in the order of the question, nothing of those that were not tried; and what time it is.
pub(crate) fn answer(verdicts: &[Option<bool>], now: Timestamp) -> Vec<u8> {
    let byte = |verdict: &Option<bool>| match verdict {
        None => UNTRIED,
        Some(false) => UNREACHED,
        Some(true) => REACHED,
    };
    verdicts.iter().map(byte).chain(now.unix_ms().to_be_bytes()).collect()
}

/// What came of each of `asked` addresses, and the time there; `None` if the answer is malformed.
pub(crate) fn read_answer(frame: &[u8], asked: usize) -> Option<(Vec<Option<bool>>, Timestamp)> {
    let (verdicts, now) = frame.split_last_chunk()?;
    if verdicts.len() != asked {
        return None;
    }
    let verdict = |byte: &u8| match *byte {
        UNTRIED => Some(None),
        UNREACHED => Some(Some(false)),
        REACHED => Some(Some(true)),
        _ => None,
    };
    let verdicts = verdicts.iter().map(verdict).collect::<Option<_>>()?;
    Some((verdicts, Timestamp::from_unix_ms(u64::from_be_bytes(*now))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let address: Multiaddr = "/ip4/192.0.2.7/tcp/7420".parse().unwrap();
        let frame = question(std::slice::from_ref(&address));
        assert_eq!(frame, b"\x00\x17/ip4/192.0.2.7/tcp/7420");
        assert_eq!(read_question(&frame), Some(vec![address]));
        let (verdicts, now) = (vec![Some(true), Some(false), None], Timestamp::from_unix_ms(0x0102));
        let frame = [1, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2];
        assert_eq!(answer(&verdicts, now), frame);
        assert_eq!(read_answer(&frame, 3), Some((verdicts, now)));
        assert_eq!(read_answer(&frame, 2), None);
        assert_eq!(read_answer(&frame[..7], 3), None);
        assert_eq!(read_answer(&[3, 0, 0, 0, 0, 0, 0, 0, 0], 1), None);
    }

    #[test]
    fn no_more_addresses_are_read_than_a_peer_has() {
        let address: Multiaddr = "/ip4/192.0.2.7/tcp/1".parse().unwrap();
        let one = question(&[address]);
        assert!(read_question(&one.repeat(CANDIDATES_MAX)).is_some());
        assert!(read_question(&one.repeat(CANDIDATES_MAX + 1)).is_none());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(frame in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(addresses) = read_question(&frame) {
                prop_assert!(addresses.len() <= CANDIDATES_MAX);
            }
            prop_assert!(read_answer(&frame, 4).is_none_or(|(verdicts, _now)| verdicts.len() == 4));
        }
    }
}
