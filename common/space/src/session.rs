//! Session proofs: how a peer shows, when it opens a stream, what it may do in a space.

use cosmic_common::{
    id::{ChannelId, EntryId, PeerId, SpaceId, WriterId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{
    signature::Domain,
    signed::{Signed, SignedRecord},
};
use minicbor::{Decode, Encode};

use crate::{
    delegation::{Bearer, Caveats},
    genesis::{Genesis, membership_channel},
    membership::{Membership, reaches},
    refusal::Refusal,
    rights::{Channels, Right, Rights},
};

/// The longest name of a protocol.
pub const PROTOCOL_MAX_BYTES: usize = 64;

/// What a peer signs to open a session; good for one stream between two peers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SessionProof {
    /// The space.
    #[n(1)]
    pub space: SpaceId,
    /// The delegation the key acts under. None for the root, and for a key that has not seen its own
    /// delegation yet, as that of a ticket: the server finds it.
    #[n(2)]
    pub delegation: Option<EntryId>,
    /// The writer key, or the key of a ticket.
    #[n(3)]
    pub key: WriterId,
    /// Who opens the stream.
    #[n(4)]
    pub client: PeerId,
    /// Who accepts it.
    #[n(5)]
    pub server: PeerId,
    /// What the server asked to be signed.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce: [u8; 32],
    /// The name of the stream's protocol.
    #[n(7)]
    pub protocol: String,
    /// The genesis, from whoever has it: for a server that has never seen the space, and does not know where its data may lie.
    #[n(8)]
    pub genesis: Option<Genesis>,
}

impl Record for SessionProof {
    const NAME: &'static str = "session proof";
    const LIMIT: usize = 512 + Genesis::LIMIT;
}

impl SignedRecord for SessionProof {
    const DOMAIN: Domain = Domain::new("cosmic/session/1");
}

/// What the server knows about the stream, to hold a proof against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The peer the transport authenticated.
    pub client: PeerId,
    /// The server itself.
    pub server: PeerId,
    /// The nonce it sent on this stream.
    pub nonce: [u8; 32],
    /// The protocol of the stream.
    pub protocol: &'a str,
}

/// What an opened session allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The space.
    pub space: SpaceId,
    /// The key that opened it.
    pub key: WriterId,
    /// The delegation it acts under; none for the root.
    pub delegation: Option<EntryId>,
    /// Whether a ticket opened it.
    pub bearer: Bearer,
    /// What it may do.
    pub rights: Rights,
    /// In which channels, besides the membership channel.
    pub channels: Channels,
    /// When it must end, and how much it may bring.
    pub caveats: Caveats,
}

impl Session {
    /// Whether the session allows `right` in `channel`. Whoever has a session may read and write in the
    /// membership channel: admission looks at each record there.
    #[must_use]
    pub fn may(&self, right: Right, channel: &ChannelId) -> bool {
        reaches(self.rights, &self.channels, right, channel, &membership_channel(&self.space))
    }
}

/// What `proof` allows under `membership`, if it holds.
///
/// A server that has never seen the space knows no genesis: it takes the one in the proof of the
/// root, whose hash is the space's name.
///
/// # Errors
/// [`Refusal`] if the proof was made for another stream, is not signed by its key, or the delegation
/// does not stand at `now`. [`Refusal::Missing`] if the server's membership is behind.
pub fn verify_session(
    membership: &Membership,
    proof: &Signed<SessionProof>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Session, Refusal> {
    let claimed = proof.unverified();
    if claimed.space != membership.space() {
        return Err(Refusal::OtherSpace);
    }
    let same = [
        ("client", claimed.client == expected.client),
        ("server", claimed.server == expected.server),
        ("nonce", claimed.nonce == expected.nonce),
        ("protocol", claimed.protocol == expected.protocol && claimed.protocol.len() <= PROTOCOL_MAX_BYTES),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(Refusal::OtherSession { what });
    }
    let proof = proof.verify(claimed.key.as_bytes())?;
    let session = match proof.delegation {
        Some(delegation) => delegated_session(membership, proof, delegation)?,
        None if membership.genesis().is_none() || membership.is_root(&proof.key) => {
            root_session(membership, proof)?
        }
        None => {
            let unnamed = membership.standing_of(&proof.key, now);
            delegated_session(membership, proof, unnamed.ok_or(Refusal::NotAMember { writer: proof.key })?)?
        }
    };
    match session.caveats.expires {
        Some(at) if at <= now => Err(Refusal::Expired { at }),
        Some(_) | None => Ok(session),
    }
}

fn root_session(membership: &Membership, proof: &SessionProof) -> Result<Session, Refusal> {
    membership.check_root(&proof.key, proof.genesis.as_ref())?;
    Ok(Session {
        space: proof.space,
        key: proof.key,
        delegation: None,
        bearer: Bearer::Member,
        rights: Rights::ALL,
        channels: Channels::All,
        caveats: Caveats::default(),
    })
}

fn delegated_session(membership: &Membership, proof: &SessionProof, id: EntryId) -> Result<Session, Refusal> {
    let delegation = membership.standing_delegation(&id, &proof.key)?;
    Ok(Session {
        space: proof.space,
        key: proof.key,
        delegation: Some(id),
        bearer: delegation.bearer,
        rights: delegation.own_rights(),
        channels: delegation.channels.clone(),
        caveats: membership.caveats(&id),
    })
}
