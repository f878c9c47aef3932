//! Accounting adds up, and a refusal changes nothing.

use proptest::prelude::*;

use super::{Ceiling, Charge, Quota, Usage};
use crate::Error;

#[test]
fn the_last_byte_fits_and_the_next_is_refused() {
    let quota = Quota { entry_bytes: 100, shard_bytes: 50 };
    let full = Usage::default().charged(Charge::Entries { count: 2, bytes: 100 }, &quota).unwrap();
    assert_eq!((full.entries, full.entry_bytes), (2, 100));
    let refused = full.charged(Charge::Entries { count: 1, bytes: 1 }, &quota);
    assert!(matches!(
        refused,
        Err(Error::OverQuota { ceiling: Ceiling::Entries, used: 100, bytes: 1, limit: 100 })
    ));
    assert!(full.charged(Charge::Shard { bytes: 50 }, &quota).is_ok(), "shards have a ceiling of their own");
    assert!(full.charged(Charge::Shard { bytes: u64::MAX }, &quota).is_err());
}

fn any_charge() -> impl Strategy<Value = Charge> {
    prop_oneof![
        (1_u64..10, 0_u64..1000).prop_map(|(count, bytes)| Charge::Entries { count, bytes }),
        (0_u64..1000).prop_map(|bytes| Charge::Shard { bytes }),
    ]
}

proptest! {
    #[test]
    fn what_was_charged_is_released(charges in prop::collection::vec(any_charge(), 0..50)) {
        let quota = Quota { entry_bytes: 5_000, shard_bytes: 3_000 };
        let mut usage = Usage::default();
        let mut taken = Vec::new();
        for charge in charges {
            if let Ok(next) = usage.charged(charge, &quota) {
                usage = next;
                taken.push(charge);
            }
            prop_assert!(usage.entry_bytes <= quota.entry_bytes && usage.shard_bytes <= quota.shard_bytes);
        }
        let nothing = taken.into_iter().fold(usage, Usage::released);
        prop_assert_eq!(nothing, Usage::default());
    }
}
