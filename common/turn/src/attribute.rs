//! The numbers of attributes, methods and errors (RFC 8489, RFC 8656).

/// How a message is carried to the right place: class and method.
pub mod method {
    /// What is my address?
    pub const BINDING: u16 = 0x001;
    /// Give me a port.
    pub const ALLOCATE: u16 = 0x003;
    /// Keep it for longer, or give it back.
    pub const REFRESH: u16 = 0x004;
    /// Data to a peer.
    pub const SEND: u16 = 0x006;
    /// Data from a peer.
    pub const DATA: u16 = 0x007;
    /// Let this peer send to me.
    pub const CREATE_PERMISSION: u16 = 0x008;
    /// Let this number stand for that peer.
    pub const CHANNEL_BIND: u16 = 0x009;
}

/// Who asks.
pub const USERNAME: u16 = 0x0006;
/// A MAC over everything before it.
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
/// Why not.
pub const ERROR_CODE: u16 = 0x0009;
/// Attributes that were not understood.
pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// A channel.
pub const CHANNEL_NUMBER: u16 = 0x000C;
/// How long an allocation lasts, in seconds.
pub const LIFETIME: u16 = 0x000D;
/// A peer.
pub const XOR_PEER_ADDRESS: u16 = 0x0012;
/// What is to be carried.
pub const DATA: u16 = 0x0013;
/// For which server the credentials are.
pub const REALM: u16 = 0x0014;
/// What the server gave, so that nothing is played again later.
pub const NONCE: u16 = 0x0015;
/// Where peers reach the client.
pub const XOR_RELAYED_ADDRESS: u16 = 0x0016;
/// IPv4 or IPv6.
pub const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
/// A port with an even number; and whether the next one is to be kept back.
pub const EVEN_PORT: u16 = 0x0018;
/// UDP, of those there are.
pub const REQUESTED_TRANSPORT: u16 = 0x0019;
/// Where the server sees the client.
pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// A checksum, the last attribute.
pub const FINGERPRINT: u16 = 0x8028;

/// Attributes from here on may be passed over by who does not know them.
const OPTIONAL: u16 = 0x8000;

/// Those of a request that this relay understands.
const UNDERSTOOD: [u16; 11] = [
    USERNAME,
    MESSAGE_INTEGRITY,
    CHANNEL_NUMBER,
    LIFETIME,
    XOR_PEER_ADDRESS,
    DATA,
    REALM,
    NONCE,
    REQUESTED_ADDRESS_FAMILY,
    EVEN_PORT,
    REQUESTED_TRANSPORT,
];

/// Whether a request with the attribute `kind` can be carried out as it was meant.
#[must_use]
pub fn is_understood(kind: u16) -> bool {
    kind >= OPTIONAL || UNDERSTOOD.contains(&kind)
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Something is missing or makes no sense.
    BadRequest,
    /// No credentials, wrong ones, or ones whose time is over.
    Unauthorized,
    /// Nothing is relayed to this peer.
    Forbidden,
    /// An attribute that has to be understood is not.
    UnknownAttribute,
    /// There is no allocation, or there is one already.
    AllocationMismatch,
    /// The nonce is too old.
    StaleNonce,
    /// Addresses of this kind are not given.
    AddressFamilyNotSupported,
    /// The allocation is another user's.
    WrongCredentials,
    /// Only UDP is relayed.
    UnsupportedTransport,
    /// The peer's address is of another kind than the relayed one.
    PeerAddressFamilyMismatch,
    /// The user has as many allocations as one may have.
    QuotaReached,
    /// There is no more room, for anybody.
    InsufficientCapacity,
}

impl Code {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    /// What people are told.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BadRequest => "Bad Request",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::UnknownAttribute => "Unknown Attribute",
            Self::AllocationMismatch => "Allocation Mismatch",
            Self::StaleNonce => "Stale Nonce",
            Self::AddressFamilyNotSupported => "Address Family not Supported",
            Self::WrongCredentials => "Wrong Credentials",
            Self::UnsupportedTransport => "Unsupported Transport Protocol",
            Self::PeerAddressFamilyMismatch => "Peer Address Family Mismatch",
            Self::QuotaReached => "Allocation Quota Reached",
            Self::InsufficientCapacity => "Insufficient Capacity",
        }
    }

    /// The value of [`ERROR_CODE`].
    #[must_use]
    pub fn value(self) -> Vec<u8> {
        let number = self.number();
        // Hundreds are at most 6, the rest at most 99: both fit a byte.
        let [_, hundreds] = (number / 100).to_be_bytes();
        let [_, rest] = (number % 100).to_be_bytes();
        [&[0, 0, hundreds, rest], self.reason().as_bytes()].concat()
    }
}
