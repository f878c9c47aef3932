//! Credentials of the relay: made for a device that has shown its right elsewhere, known again without being remembered.

use std::fmt;

use cosmic_common::{hash, id::PeerId, time::Timestamp};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};

/// The context of the secret from which everything else follows.
const SECRET: &str = "cosmic turn secret 1";
const USERS: &str = "cosmic turn user 1";
const PASSWORDS: &str = "cosmic turn password 1";
const NONCES: &str = "cosmic turn nonce 1";
const PORTS: &str = "cosmic turn port 1";
/// Bytes of what stands for a user in a name.
const USER_BYTES: usize = 10;

/// What stands for one device at one relay; whoever reads it learns no more than that it is the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct User([u8; USER_BYTES]);

/// What a device hands to a browser.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// When it ends, in seconds since 1970, and for whom it is.
    pub username: String,
    /// What shows that this relay made it.
    pub password: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A name that a credential could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) user: User,
    pub(crate) expires: Timestamp,
}

/// Who makes credentials and knows them again.
#[derive(Clone)]
pub struct Issuer {
    users: [u8; 32],
    passwords: [u8; 32],
    pub(crate) nonces: [u8; 32],
    pub(crate) ports: [u8; 32],
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issuer")
    }
}

impl Issuer {
    /// The one that follows from the secret `seed` of a process: nothing of it has to be kept, and it is the same after a
    /// restart.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let secret = hash::derive(SECRET, &[seed]);
        let of = |context| hash::derive(context, &[&secret]);
        Self { users: of(USERS), passwords: of(PASSWORDS), nonces: of(NONCES), ports: of(PORTS) }
    }

    /// A credential for `device` that counts until `expires`, to the second.
    #[must_use]
    pub fn issue(&self, device: &PeerId, expires: Timestamp) -> Credential {
        let user = hash::keyed(&self.users, &[device.as_bytes()]);
        let user = BASE32_NOPAD.encode(user.get(..USER_BYTES).unwrap_or_default()).to_ascii_lowercase();
        let username = format!("{}:{user}", expires.unix_ms() / 1000);
        Credential { password: self.password(&username), username }
    }

    /// The password to this name, whoever asks.
    pub(crate) fn password(&self, username: &str) -> String {
        BASE64URL_NOPAD.encode(&hash::keyed(&self.passwords, &[username.as_bytes()]))
    }

    /// What `username` says, if it is one.
    pub(crate) fn read(username: &str) -> Option<Named> {
        let (expires, user) = username.split_once(':')?;
        let user = BASE32_NOPAD.decode(user.to_ascii_uppercase().as_bytes()).ok()?;
        let expires = expires.parse::<u64>().ok()?.checked_mul(1000)?;
        Some(Named { user: User(user.try_into().ok()?), expires: Timestamp::from_unix_ms(expires) })
    }
}
