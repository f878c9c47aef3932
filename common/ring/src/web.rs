//! The web of trust as it is known: verified lists of vouches, and who counts by them.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    hash,
    id::{Hash, OperatorId},
};
use cosmic_identity::signed::Signed;

use crate::{
    config::{Admission, NetworkConfig},
    endpoint::Edition,
    trust::{self, LISTS_MAX, Trusted},
    vouches::{Vouches, edition},
};

/// Lists kept of operators that do not count at the moment, so that who is trusted again need not sign again.
const DORMANT_MAX: usize = LISTS_MAX;

/// What became of lists that came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Those that count and were not known.
    pub inserted: usize,
    /// Those of operators that do not count.
    pub refused: usize,
}

/// Lists of vouches and what follows from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Web {
    lists: BTreeMap<OperatorId, (Edition, Signed<Vouches>)>,
    trusted: Trusted,
}

impl Web {
    /// Who counts under `config` by these lists; to be asked again whenever either changes.
    pub(crate) fn reckon(&mut self, config: &NetworkConfig) {
        let of = |operator: &OperatorId| {
            self.lists.get(operator).map(|(_edition, list)| &list.unverified().operators)
        };
        self.trusted = match config.admission {
            Admission::Vouched => trust::trusted(&config.operators, &config.banned, of),
            Admission::Open | Admission::AllowList => Trusted::default(),
        };
        if self.lists.len() > self.trusted.vouchers.len() + DORMANT_MAX {
            self.lists.retain(|operator, _list| self.trusted.vouchers.contains(operator));
        }
    }

    /// Takes in what is newer of `lists`, all of which were verified. They are looked at together, since one may count by another.
    pub(crate) fn take(&mut self, lists: Vec<Signed<Vouches>>, config: &NetworkConfig) -> Taken {
        let mut came = BTreeMap::new();
        for list in lists {
            let (operator, edition) = (list.unverified().operator, edition(&list));
            if self.lists.get(&operator).is_none_or(|(known, _list)| *known < edition) {
                let before = self.lists.insert(operator, (edition, list));
                came.entry(operator).or_insert_with(|| before.is_some());
            }
        }
        self.reckon(config);
        let mut taken = Taken::default();
        for (operator, was_known) in came {
            if self.trusted.vouchers.contains(&operator) {
                taken.inserted += 1;
                continue;
            }
            taken.refused += 1;
            if !was_known {
                self.lists.remove(&operator);
            }
        }
        taken
    }

    /// Whether `list` is news about its operator.
    pub(crate) fn is_new(&self, list: &Signed<Vouches>) -> bool {
        let known = self.lists.get(&list.unverified().operator);
        known.is_none_or(|(known, _list)| *known < edition(list))
    }

    pub(crate) const fn trusted(&self) -> &Trusted {
        &self.trusted
    }

    /// The lists that count, in the order of operators.
    pub(crate) fn counting(&self) -> impl Iterator<Item = (&OperatorId, &(Edition, Signed<Vouches>))> {
        self.lists.iter().filter(|(operator, _list)| self.trusted.vouchers.contains(operator))
    }

    /// The list of `operator`, if it counts.
    pub(crate) fn list(&self, operator: &OperatorId) -> Option<&Signed<Vouches>> {
        let counts = self.trusted.vouchers.contains(operator);
        self.lists.get(operator).filter(|_list| counts).map(|(_edition, list)| list)
    }

    /// The hash of all lists that count; none if there are none.
    pub(crate) fn digest(&self) -> Option<Hash> {
        let parts: Vec<&[u8]> = self
            .counting()
            .flat_map(|(operator, (edition, _list))| {
                [operator.as_bytes().as_slice(), edition.hash.as_bytes()]
            })
            .collect();
        (!parts.is_empty()).then(|| Hash::from_bytes(hash::derive("cosmic vouches 1", &parts)))
    }

    /// The edition of each list that counts.
    pub(crate) fn editions(&self) -> BTreeMap<OperatorId, Edition> {
        self.counting().map(|(operator, (edition, _list))| (*operator, *edition)).collect()
    }

    /// Everybody who vouches for `operator` and counts.
    pub(crate) fn vouchers_of(&self, operator: &OperatorId) -> BTreeSet<OperatorId> {
        let names = |list: &Signed<Vouches>| list.unverified().operators.contains(operator);
        self.counting()
            .filter(|(_voucher, (_edition, list))| names(list))
            .map(|(voucher, _)| *voucher)
            .collect()
    }
}
