//! STUN messages as bytes.

use crate::{
    address,
    attribute::{Code, ERROR_CODE, FINGERPRINT, MESSAGE_INTEGRITY},
    integrity::{Key, MAC_BYTES, fingerprint},
};

/// What stands in every message.
pub const MAGIC: u32 = 0x2112_A442;
/// Bytes before the attributes.
pub const HEADER_BYTES: usize = 20;
/// Bytes of the longest message: the largest UDP datagram.
pub const MESSAGE_MAX_BYTES: usize = 65_507;
/// Attributes of one message: browsers send ten at most, and permissions are asked for by the handful.
pub const ATTRIBUTES_MAX: usize = 32;
/// Bytes of an attribute's kind and length.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Attributes begin at multiples of it.
const ALIGNMENT: usize = 4;
/// Bytes of the last attribute.
const FINGERPRINT_BYTES: usize = 8;

/// What a question and its answer have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction(pub [u8; 12]);

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A question.
    Request,
    /// Something that is not answered.
    Indication,
    /// Yes.
    Success,
    /// No.
    Error,
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The header is too short or another protocol's.
    #[error("this is no STUN message")]
    NotStun,
    /// The length is not that of the bytes.
    #[error("the length of the message is wrong")]
    Length,
    /// An attribute reaches beyond the end, or there are too many.
    #[error("an attribute is malformed")]
    Attribute,
    /// The checksum is wrong.
    #[error("the checksum is wrong")]
    Fingerprint,
}

/// A message that was read. Values are those bytes that came.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// What it is.
    pub class: Class,
    /// What it is about ([`crate::attribute::method`]).
    pub method: u16,
    /// Which question it belongs to.
    pub transaction: Transaction,
    bytes: &'a [u8],
    attributes: Vec<(u16, &'a [u8])>,
    /// Where the MAC's attribute begins.
    signed: Option<usize>,
}

/// The class and method that `kind` stands for.
const fn split(kind: u16) -> (Class, u16) {
    let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    (class, kind & 0x000F | (kind & 0x00E0) >> 1 | (kind & 0x3E00) >> 2)
}

const fn join(class: Class, method: u16) -> u16 {
    let class = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    };
    class | method & 0x000F | (method & 0x0070) << 1 | (method & 0x0F80) << 2
}

impl<'a> Message<'a> {
    /// The message in `bytes`.
    ///
    /// # Errors
    /// [`Malformed`], if they hold none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed::NotStun)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed::NotStun)?;
        let (magic, rest) = rest.split_first_chunk::<4>().ok_or(Malformed::NotStun)?;
        let (transaction, mut rest) = rest.split_first_chunk::<12>().ok_or(Malformed::NotStun)?;
        let kind = u16::from_be_bytes(*kind);
        if kind & 0xC000 != 0 || u32::from_be_bytes(*magic) != MAGIC {
            return Err(Malformed::NotStun);
        }
        if usize::from(u16::from_be_bytes(*length)) != rest.len() || !rest.len().is_multiple_of(ALIGNMENT) {
            return Err(Malformed::Length);
        }
        let (class, method) = split(kind);
        let transaction = Transaction(*transaction);
        let mut message = Self { class, method, transaction, bytes, attributes: Vec::new(), signed: None };
        for _ in 0..ATTRIBUTES_MAX {
            let at = bytes.len() - rest.len();
            let Some((kind, value, after)) = attribute(rest)? else { return Ok(message) };
            rest = after;
            match kind {
                FINGERPRINT => return message.checked(at, value, rest),
                // What nobody signed is not looked at.
                _ if message.signed.is_some() => {}
                MESSAGE_INTEGRITY => {
                    message.signed = Some(at);
                    message.attributes.push((kind, value));
                }
                _ => message.attributes.push((kind, value)),
            }
        }
        if rest.is_empty() { Ok(message) } else { Err(Malformed::Attribute) }
    }

    fn checked(self, at: usize, value: &[u8], rest: &[u8]) -> Result<Self, Malformed> {
        let before = self.bytes.get(..at).unwrap_or_default();
        let is_right = value == fingerprint(&[before]).to_be_bytes() && rest.is_empty();
        if is_right { Ok(self) } else { Err(Malformed::Fingerprint) }
    }

    /// The value of the first attribute of this kind.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.all(kind).next()
    }

    /// The values of all attributes of this kind.
    pub fn all(&self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        self.attributes.iter().filter(move |(other, _value)| *other == kind).map(|(_kind, value)| *value)
    }

    /// The same as text, if it is text.
    #[must_use]
    pub fn text(&self, kind: u16) -> Option<&'a str> {
        str::from_utf8(self.get(kind)?).ok()
    }

    /// The kinds of all attributes.
    pub fn kinds(&self) -> impl Iterator<Item = u16> {
        self.attributes.iter().map(|(kind, _value)| *kind)
    }

    /// Whether somebody claims to have signed it.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signed.is_some()
    }

    /// Whether who has `key` signed it.
    #[must_use]
    pub fn is_signed_with(&self, key: &Key) -> bool {
        let Some((at, mac)) = self.signed.zip(self.get(MESSAGE_INTEGRITY)) else { return false };
        let Some((kind, content)) = self.bytes.get(..at).and_then(<[u8]>::split_first_chunk::<4>) else {
            return false;
        };
        // Signed as if the MAC were the end of it.
        let [a, b, ..] = *kind;
        let length = body_length(at + ATTRIBUTE_HEADER_BYTES + MAC_BYTES);
        key.holds(&[&[a, b], &length, content], mac)
    }
}

/// The first attribute of `bytes`, and what comes after it; none at their end.
type Attribute<'a> = Option<(u16, &'a [u8], &'a [u8])>;

fn attribute(bytes: &[u8]) -> Result<Attribute<'_>, Malformed> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (kind, rest) = bytes.split_first_chunk::<2>().ok_or(Malformed::Attribute)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(Malformed::Attribute)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (padded, rest) =
        rest.split_at_checked(length.next_multiple_of(ALIGNMENT)).ok_or(Malformed::Attribute)?;
    let value = padded.get(..length).ok_or(Malformed::Attribute)?;
    Ok(Some((u16::from_be_bytes(*kind), value, rest)))
}

/// The length field of a message of `bytes` bytes.
fn body_length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes.saturating_sub(HEADER_BYTES)).unwrap_or(u16::MAX).to_be_bytes()
}

/// A message that is written.
#[derive(Debug, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
    transaction: Transaction,
}

impl Writer {
    /// An empty one.
    #[must_use]
    pub fn new(class: Class, method: u16, transaction: Transaction) -> Self {
        let mut bytes = join(class, method).to_be_bytes().to_vec();
        bytes.extend([0, 0]);
        bytes.extend(MAGIC.to_be_bytes());
        bytes.extend(transaction.0);
        Self { bytes, transaction }
    }

    /// The answer to `question`.
    #[must_use]
    pub fn answer(question: &Message<'_>, class: Class) -> Self {
        Self::new(class, question.method, question.transaction)
    }

    /// The answer that refuses `question`.
    #[must_use]
    pub fn refusal(question: &Message<'_>, code: Code) -> Self {
        Self::answer(question, Class::Error).with(ERROR_CODE, &code.value())
    }

    /// With an attribute; one of more than 65,535 bytes is cut, which no caller has.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        let value = value.get(..usize::from(length)).unwrap_or_default();
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        self
    }

    /// With an address.
    #[must_use]
    pub fn with_address(self, kind: u16, address: std::net::SocketAddr) -> Self {
        let value = address::encode(address, self.transaction);
        self.with(kind, &value)
    }

    /// Its bytes, signed with `key` if there is one.
    #[must_use]
    pub fn finish(mut self, key: Option<&Key>) -> Vec<u8> {
        if let Some(key) = key {
            self.set_length(ATTRIBUTE_HEADER_BYTES + MAC_BYTES);
            let mac = key.sign(&[&self.bytes]);
            self = self.with(MESSAGE_INTEGRITY, mac.as_ref());
        }
        self.set_length(FINGERPRINT_BYTES);
        let checksum = fingerprint(&[&self.bytes]).to_be_bytes();
        self.with(FINGERPRINT, &checksum).bytes
    }

    /// Its bytes without MAC and checksum: of data on their way.
    #[must_use]
    pub fn finish_plain(mut self) -> Vec<u8> {
        self.set_length(0);
        self.bytes
    }

    /// The length, with so many bytes still to come.
    fn set_length(&mut self, to_come: usize) {
        let length = body_length(self.bytes.len() + to_come);
        if let Some(field) = self.bytes.get_mut(2..4) {
            field.copy_from_slice(&length);
        }
    }
}
