//! The few bytes before the first frame (`docs/protocol/net.md`): which protocol a stream is of, and where the plane is.

use cosmic_common::protocol::Protocol;

/// The longest name of a protocol.
const NAME_MAX_BYTES: usize = 64;
/// What the opener of a stream is told: the protocol is served.
pub(super) const ACCEPTED: u8 = 0;
/// The protocol is not spoken here.
pub(super) const UNSUPPORTED: u8 = 1;
/// The frame that tells where the plane is.
pub(super) const PORT_BYTES: usize = 2;

/// What the opener of a stream says first: one byte of length and the name; `None` if the name is too long.
pub(super) fn opening(protocol: Protocol) -> Option<Vec<u8>> {
    let name = protocol.as_str().as_bytes();
    let length = u8::try_from(name.len()).ok().filter(|_| name.len() <= NAME_MAX_BYTES)?;
    Some([&[length], name].concat())
}

/// The length of the name that follows this byte, if a protocol can have such a name.
pub(super) fn name_length(byte: u8) -> Option<usize> {
    let length = usize::from(byte);
    (1..=NAME_MAX_BYTES).contains(&length).then_some(length)
}

/// The frame that tells the port of the plane.
pub(super) const fn port(port: u16) -> [u8; PORT_BYTES] {
    port.to_be_bytes()
}

/// The port in such a frame; nobody listens on port 0.
pub(super) fn read_port(frame: &[u8]) -> Option<u16> {
    let port = u16::from_be_bytes(frame.try_into().ok()?);
    (port != 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use cosmic_common::protocol::{OBJECT, SHARD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        assert_eq!(opening(OBJECT).unwrap(), b"\x10/cosmic/object/1");
        assert_eq!(opening(SHARD).unwrap(), b"\x0f/cosmic/shard/1");
        assert_eq!(port(7411), [0x1c, 0xf3]);
    }

    #[test]
    fn names_without_bounds_are_refused() {
        const LONG: Protocol =
            Protocol::new("/cosmic/this-name-is-longer-than-any-protocol-of-ours-should-ever-be/1");
        assert_eq!(opening(LONG), None);
        assert_eq!(name_length(0), None);
        assert_eq!(name_length(64), Some(64));
        assert_eq!(name_length(65), None);
    }

    proptest! {
        #[test]
        fn ports_come_back_and_nothing_else_is_one(number in 1_u16.., junk in prop::collection::vec(any::<u8>(), 0..8)) {
            prop_assert_eq!(read_port(&port(number)), Some(number));
            prop_assert_eq!(read_port(&junk).is_some(), junk.len() == 2 && junk != [0, 0]);
        }
    }
}
