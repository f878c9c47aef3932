//! One client's port: for how long, for whom, and who may send to it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use cosmic_common::time::Timestamp;

use crate::{credential::User, integrity::Key, message::Transaction};

/// How long a permission lasts (RFC 8656, section 9).
const PERMISSION: Duration = Duration::from_secs(300);
/// How long a channel lasts (RFC 8656, section 12).
const CHANNEL: Duration = Duration::from_secs(600);
/// Permissions of one allocation, and channels: a browser asks for one of each candidate of the other side.
pub(crate) const PEERS_MAX: usize = 64;

/// Where an allocation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The port is being opened, for the so many-th time.
    Opening(u8),
    /// It is open.
    Open,
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) stage: Stage,
    pub(crate) user: User,
    pub(crate) username: String,
    pub(crate) key: Key,
    /// When the credential ends, and everything with it.
    pub(crate) ends: Timestamp,
    pub(crate) expires: Timestamp,
    /// The request that made it: it may come again.
    pub(crate) asked: Transaction,
    pub(crate) port: u16,
    /// Whether it was asked for a port with an even number.
    pub(crate) is_even: bool,
    permissions: BTreeMap<IpAddr, Timestamp>,
    channels: BTreeMap<u16, (SocketAddr, Timestamp)>,
}

/// Of whom an allocation is.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) user: User,
    pub(crate) username: String,
    pub(crate) key: Key,
    pub(crate) ends: Timestamp,
}

impl Allocation {
    pub(crate) fn new(
        owner: Owner,
        asked: Transaction,
        expires: Timestamp,
        port: u16,
        is_even: bool,
    ) -> Self {
        let Owner { user, username, key, ends } = owner;
        let (permissions, channels) = (BTreeMap::new(), BTreeMap::new());
        Self {
            stage: Stage::Opening(1),
            user,
            username,
            key,
            ends,
            expires,
            asked,
            port,
            is_even,
            permissions,
            channels,
        }
    }

    /// Lets `peer` send, for a while; no more if there are too many.
    pub(crate) fn permit(&mut self, peer: IpAddr, now: Timestamp) -> bool {
        self.permissions.retain(|_peer, until| *until > now);
        if self.permissions.len() >= PEERS_MAX && !self.permissions.contains_key(&peer) {
            return false;
        }
        self.permissions.insert(peer, now.after(PERMISSION));
        true
    }

    /// Whether `peer` may send and be sent to.
    pub(crate) fn permits(&self, peer: IpAddr, now: Timestamp) -> bool {
        self.permissions.get(&peer).is_some_and(|until| *until > now)
    }

    /// Whether the channel `number` may stand for `peer`: neither stands for another.
    pub(crate) fn may_bind(&self, number: u16, peer: SocketAddr, now: Timestamp) -> bool {
        let mut live = self.channels.iter().filter(|(_number, (_peer, until))| *until > now);
        let is_free = live.clone().all(|(other, (known, _))| (*other == number) == (*known == peer));
        is_free && (live.any(|(other, _)| *other == number) || live.count() < PEERS_MAX)
    }

    /// Has the channel `number` stand for `peer`.
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, now: Timestamp) {
        self.channels.retain(|_number, (_peer, until)| *until > now);
        self.channels.insert(number, (peer, now.after(CHANNEL)));
    }

    /// For whom the channel `number` stands.
    pub(crate) fn peer_of(&self, number: u16, now: Timestamp) -> Option<SocketAddr> {
        self.channels.get(&number).filter(|(_peer, until)| *until > now).map(|(peer, _until)| *peer)
    }

    /// The channel that stands for `peer`.
    pub(crate) fn channel_of(&self, peer: SocketAddr, now: Timestamp) -> Option<u16> {
        let mut live = self.channels.iter().filter(|(_number, (_peer, until))| *until > now);
        live.find(|(_number, (known, _until))| *known == peer).map(|(number, _)| *number)
    }
}
