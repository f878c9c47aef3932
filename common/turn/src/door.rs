//! Who asks: the long-term credentials of RFC 8489, section 9.2, without a list of users.

use std::net::SocketAddr;

use cosmic_common::time::Timestamp;

use crate::{
    allocation::Owner,
    attribute::{self, Code, NONCE, REALM, UNKNOWN_ATTRIBUTES, USERNAME},
    credential::Issuer,
    integrity::Key,
    message::{Message, Writer},
    nonce,
};

/// Who may come in.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) issuer: Issuer,
    pub(crate) realm: String,
}

/// Why not, and under which key the answer is signed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) key: Option<Key>,
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        Self { code, key: None }
    }
}

impl Door {
    /// Who signed `request`, if his credential counts `now`.
    pub(crate) fn knock(
        &self,
        request: &Message<'_>,
        client: SocketAddr,
        now: Timestamp,
    ) -> Result<Owner, Refused> {
        if !request.is_signed() {
            return Err(Code::Unauthorized.into());
        }
        let named = (request.text(USERNAME), request.text(REALM), request.text(NONCE));
        let (Some(username), Some(realm), Some(nonce)) = named else { return Err(Code::BadRequest.into()) };
        if !nonce::holds(&self.issuer.nonces, nonce, client, now) {
            return Err(Code::StaleNonce.into());
        }
        let named = Issuer::read(username).filter(|named| named.expires > now && realm == self.realm);
        let named = named.ok_or(Code::Unauthorized)?;
        let key = Key::long_term(username, &self.realm, &self.issuer.password(username));
        if !request.is_signed_with(&key) {
            return Err(Code::Unauthorized.into());
        }
        if request.kinds().all(attribute::is_understood) {
            Ok(Owner { user: named.user, username: username.to_owned(), key, ends: named.expires })
        } else {
            Err(Refused { code: Code::UnknownAttribute, key: Some(key) })
        }
    }

    /// The answer to a request that is refused.
    pub(crate) fn refusal(
        &self,
        request: &Message<'_>,
        refused: &Refused,
        client: SocketAddr,
        now: Timestamp,
    ) -> Vec<u8> {
        let answer = Writer::refusal(request, refused.code);
        let answer = match refused.code {
            Code::Unauthorized | Code::StaleNonce => answer
                .with(REALM, self.realm.as_bytes())
                .with(NONCE, nonce::of(&self.issuer.nonces, client, now).as_bytes()),
            Code::UnknownAttribute => {
                let unknown = request.kinds().filter(|kind| !attribute::is_understood(*kind));
                answer.with(UNKNOWN_ATTRIBUTES, &unknown.flat_map(u16::to_be_bytes).collect::<Vec<_>>())
            }
            _ => answer,
        };
        answer.finish(refused.key.as_ref())
    }
}
