//! Accounts: what is kept here of each space, and on whose account, counted in the batch that writes or deletes it.
//!
//! On the account of the **sponsor**: the operator that had the first bytes of a space kept here, which is that of the
//! gateway a device wrote to; a supernode that moves a space names the one it knows. It is written together with those
//! bytes, and stays. Sums of operators are counters of their own, so that nothing is walked to see them or to refuse more.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use cosmic_common::id::{OperatorId, PeerId, SpaceId};
use cosmic_custody::{
    Usage,
    quota::{Allowance, Quota},
};
use cosmic_ring::Members;
use cosmic_store::{Batch, Error, Span, Store};

use crate::tables::{self, Account, OPERATOR_QUOTAS, OPERATOR_USAGE, SPONSORS, USAGE};

/// Counts, and knows who sponsors what. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// None of those whose first bytes came while nobody could be named.
    sponsors: RwLock<HashMap<SpaceId, Option<OperatorId>>>,
}

/// The operator to be named as the sponsor of what `peer` brings: whom it names, if that is an operator of this network,
/// else its own.
#[must_use]
pub fn bringer(members: &Members, peer: &PeerId, named: Option<OperatorId>) -> Option<OperatorId> {
    let is_one = |operator: &OperatorId| members.active().any(|member| member.operator == *operator);
    named.filter(is_one).or_else(|| members.get(peer).map(|member| member.operator))
}

impl Accounts {
    /// What the tables say.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn open(store: &Store) -> Result<Self, Error> {
        let rows = store.scan(&SPONSORS, &Span::all(), usize::MAX);
        let sponsors = rows.map(|row| row.map(|(space, operator)| (space, Some(operator))));
        let sponsors = RwLock::new(sponsors.collect::<Result<_, _>>()?);
        Ok(Self(Arc::new(Inner { store: store.clone(), sponsors })))
    }

    /// Who sponsors `space` here.
    #[must_use]
    pub fn sponsor(&self, space: &SpaceId) -> Option<OperatorId> {
        self.0.sponsors.read().unwrap_or_else(PoisonError::into_inner).get(space).copied().flatten()
    }

    /// Writes down who sponsors `space`, together with bytes of it: who does already, else `bringer` if they are the first.
    pub fn keep(&self, batch: &mut Batch, space: &SpaceId, bringer: Option<OperatorId>) {
        let mut sponsors = self.0.sponsors.write().unwrap_or_else(PoisonError::into_inner);
        let sponsor = sponsors.entry(*space).or_insert_with(|| {
            let used = tables::usage(&self.0.store, space);
            bringer.filter(|_| used.is_ok_and(|used| used == Usage::default()))
        });
        if let Some(operator) = sponsor {
            batch.put(&SPONSORS, space, operator);
        }
    }

    /// Adds `amount` to an account of `space` and of its sponsor, in the batch that writes or deletes the data.
    pub fn add(&self, batch: &mut Batch, space: &SpaceId, account: Account, amount: i64) {
        batch.add(&USAGE, &(*space, account as u8), amount);
        if let Some(operator) = self.sponsor(space) {
            batch.add(&OPERATOR_USAGE, &(operator, account as u8), amount);
        }
    }

    /// Takes `amount` off, in the batch that deletes the data.
    pub fn take_off(&self, batch: &mut Batch, space: &SpaceId, account: Account, amount: u64) {
        self.add(batch, space, account, i64::try_from(amount).map_or(i64::MIN, |amount| -amount));
    }

    /// What the sponsor of `space` keeps and may keep; None if it may keep whatever there is room for. If nobody sponsors the
    /// space yet, `bringer` is asked about.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn allowance(
        &self,
        space: &SpaceId,
        bringer: Option<OperatorId>,
    ) -> Result<Option<Allowance>, Error> {
        let Some(operator) = self.sponsor(space).or(bringer) else { return Ok(None) };
        let Some(quota) = self.quota(&operator)? else { return Ok(None) };
        Ok(Some(Allowance { operator, usage: self.usage(&operator)?, quota }))
    }

    /// What `operator` may have kept here, if that was set.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn quota(&self, operator: &OperatorId) -> Result<Option<Quota>, Error> {
        self.0.store.get(&OPERATOR_QUOTAS, operator)
    }

    /// Sets what `operator` may have kept here; None for whatever there is room for. What is kept already stays.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn set_quota(&self, operator: OperatorId, quota: Option<Quota>) -> Result<(), Error> {
        let mut batch = self.0.store.batch();
        match quota {
            Some(quota) => batch.put(&OPERATOR_QUOTAS, &operator, &quota),
            None => batch.delete(&OPERATOR_QUOTAS, &operator),
        };
        self.0.store.commit(batch).await
    }

    /// What `operator` has kept here.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn usage(&self, operator: &OperatorId) -> Result<Usage, Error> {
        tables::usage_of(|account| self.0.store.get(&OPERATOR_USAGE, &(*operator, account as u8)))
    }

    /// The operators that have anything kept here, or had. Blocks.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub fn operators(&self) -> Result<BTreeSet<OperatorId>, Error> {
        let rows = self.0.store.scan(&OPERATOR_USAGE, &Span::all(), usize::MAX);
        rows.map(|row| row.map(|((operator, _account), _amount)| operator)).collect()
    }
}
