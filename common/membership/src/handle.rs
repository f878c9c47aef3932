//! The door of this room: what is known, and what is to be told.

use std::{collections::BTreeMap, sync::Arc};

use cosmic_common::{
    address::Address,
    id::{NetworkId, PeerId},
};
use cosmic_identity::signed::Signed;
use cosmic_ring::{Member, NetworkConfig, Vouches};
use tokio::sync::watch;

use crate::{Error, RingView, ledger::Ledger};

/// Asks and tells what is known of the network. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    ledger: Arc<Ledger>,
}

impl Handle {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// The network that is pinned.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        self.ledger.network()
    }

    /// The ring as it changes; `None` until the configuration of the network was fetched for the first time.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Option<Arc<RingView>>> {
        self.ledger.watch()
    }

    /// The ring as it is known now.
    #[must_use]
    pub fn ring(&self) -> Option<Arc<RingView>> {
        self.ledger.view()
    }

    /// Waits until the configuration is known, which after a restart it is at once.
    pub async fn joined(&self) -> Arc<RingView> {
        let mut view = self.view();
        loop {
            if let Some(view) = view.borrow_and_update().clone() {
                return view;
            }
            if view.changed().await.is_err() {
                // The ledger, whose sender this watches, lives as long as this handle.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the network what the operator of this process says of it, now and after every change of the
    /// configuration: an operator that is not admitted yet may be later.
    ///
    /// # Errors
    /// [`Error::Ring`] if the record is not valid, [`Error::OtherPeer`] if it is about somebody else.
    pub fn announce(&self, member: Signed<Member>) -> Result<(), Error> {
        self.ledger.announce(member)
    }

    /// Takes over what an operator says of another supernode, one that may be gone for good, and passes it on; whether it
    /// was news.
    ///
    /// # Errors
    /// [`Error::Ring`] if the record is not valid or its operator not admitted, [`Error::NotJoined`].
    pub fn pass_on(&self, member: Signed<Member>) -> Result<bool, Error> {
        self.ledger.pass_on(member)
    }

    /// Takes over whom an operator vouches for, and passes it on; whether it was news.
    ///
    /// # Errors
    /// [`Error::Ring`] if the list is not valid or its operator does not count, [`Error::NotJoined`].
    pub fn vouch(&self, vouches: Signed<Vouches>) -> Result<bool, Error> {
        self.ledger.vouch(vouches)
    }

    /// Takes over `config` if it is newer than what is known, and passes it on; whether it was.
    ///
    /// # Errors
    /// [`Error::Ring`] if it is not a valid configuration of this network.
    pub fn apply_config(&self, config: Signed<NetworkConfig>) -> Result<bool, Error> {
        self.ledger.adopt(config)
    }

    /// Where a member or bootstrap node may be reached, empty if nobody said.
    #[must_use]
    pub fn addresses_of(&self, peer: &PeerId) -> Vec<Address> {
        self.ledger.addresses_of(peer)
    }

    /// The bootstrap nodes this process would ask first, and where.
    #[must_use]
    pub fn bootstrap_peers(&self) -> BTreeMap<PeerId, Vec<Address>> {
        self.ledger.doors()
    }
}
