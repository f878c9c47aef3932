//! Trust: which operators count in a vouched network, by what flows to them from the roots through vouches.
//!
//! ```text
//! root ──86──▶ rank 1 ──5──▶ rank 2 ──1──▶ rank 3          each vouch carries what the rank of its giver says
//!              needs 86      needs 22     needs 6          and everybody keeps 6 of what it gets
//! ```
//!
//! After Raph Levien's trust metric (Advogato: "Attack-resistant trust metrics", 2004): capacities that shrink with the distance from the roots,
//! and a part of the flow that everybody trusted uses up. So operators that somebody invented can use up no more than
//! the vouches of others for them carry, however many they are and however they vouch for each other.
//!
//! A rank needs what it keeps and what [`VOUCHES_MAX`] vouches of it carry. Whoever has a rank can therefore fill every vouch it gives:
//! the greatest flow to an operator is the sum of what the vouches for it carry, nobody competes for it, and a vouch more never takes trust from anybody.
//! (In Advogato the order of a search decides who gets what is left; here a supernode that keeps data would lose its place by that.)

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::OperatorId;

use crate::vouches::VOUCHES_MAX;

/// What each operator uses up: a single voucher who is no root carries less, and so admits nobody alone.
pub const KEEPS: u32 = 6;
/// Lists of vouches that count, and are kept and told: as many as there may be roots. The nearest to the roots come first.
pub const LISTS_MAX: usize = 1024;

/// What a rank takes, and what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// What has to flow to an operator so that it has this rank.
    pub needs: u32,
    /// What each vouch of an operator of this rank carries.
    pub carries: u32,
}

/// The ranks, from the roots on; all but the roots need what they keep and what their vouches carry.
pub const RANKS: [Rank; 4] = [
    Rank { needs: 0, carries: 86 },
    Rank { needs: 86, carries: 5 },
    Rank { needs: 22, carries: 1 },
    Rank { needs: 6, carries: 0 },
];

/// The place of an operator that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Steps from the roots, which have rank 0.
    pub rank: usize,
    /// What flows to it from those of lower rank.
    pub flow: u32,
}

/// Which operators count, and whose lists made that so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Everybody who counts.
    pub places: BTreeMap<OperatorId, Place>,
    /// Those of them whose lists are looked at: the first [`LISTS_MAX`] that have one, by rank.
    pub vouchers: BTreeSet<OperatorId>,
}

/// Who counts if `roots` do, `banned` do not, and each operator vouches for those that `vouches` tells.
pub fn trusted<'a>(
    roots: &BTreeSet<OperatorId>,
    banned: &BTreeSet<OperatorId>,
    vouches: impl Fn(&OperatorId) -> Option<&'a BTreeSet<OperatorId>>,
) -> Trusted {
    let mut trusted = Trusted::default();
    let mut flows: BTreeMap<OperatorId, u32> =
        roots.difference(banned).map(|operator| (*operator, 0)).collect();
    for (rank, Rank { needs, carries }) in RANKS.into_iter().enumerate() {
        let (reached, short): (BTreeMap<_, _>, _) = flows.into_iter().partition(|(_, flow)| *flow >= needs);
        flows = short;
        trusted
            .places
            .extend(reached.iter().map(|(operator, flow)| (*operator, Place { rank, flow: *flow })));
        for voucher in reached.into_keys() {
            let Some(named) = vouches(&voucher).filter(|_named| trusted.vouchers.len() < LISTS_MAX) else {
                continue;
            };
            trusted.vouchers.insert(voucher);
            for operator in named.iter().take(VOUCHES_MAX) {
                if !trusted.places.contains_key(operator) && !banned.contains(operator) {
                    *flows.entry(*operator).or_default() += carries;
                }
            }
        }
    }
    trusted
}
