//! Whom a newcomer is told of: members that said where they are, half of them of its own region if it says which that is, of
//! as many operators, regions and zones as there are.
//!
//! One operator may have most of the members, and one region most of the room: by chance alone a newcomer would be told of
//! nobody else, and all he learns would be what that operator lets him.

use std::collections::BTreeMap;

use cosmic_identity::signed::Signed;

use crate::{label::Label, member::Member, members::Members};

/// Candidates drawn for each that is named: the work for a newcomer does not grow with the ring.
const DRAWN_FOR_EACH: usize = 4;

/// Up to `count` active members; `seed` decides between those that are as good.
pub(crate) fn choose<'a>(
    members: &'a Members,
    region: Option<&Label>,
    count: usize,
    seed: &[u8; 32],
) -> Vec<&'a Signed<Member>> {
    let mut drawn = members.sample(count.saturating_mul(DRAWN_FOR_EACH), seed);
    let is_near = |record: &Signed<Member>| Some(&record.unverified().region) == region;
    let mut named: BTreeMap<[&[u8]; 2], usize> = BTreeMap::new();
    let mut chosen = Vec::with_capacity(count.min(drawn.len()));
    while chosen.len() < count {
        // Every other one is of its region, as long as there are any.
        let wants_near = region.is_some() && chosen.len().is_multiple_of(2);
        let best = drawn.iter().enumerate().min_by_key(|(_place, record)| {
            let member = record.unverified();
            let times = kinds(member).map(|kind| named.get(&kind).copied().unwrap_or_default());
            (members.endpoint(&member.peer).is_none(), wants_near && !is_near(record), times)
        });
        let Some((place, _record)) = best else { break };
        // In its order, so that chance goes on deciding.
        let record = drawn.remove(place);
        for kind in kinds(record.unverified()) {
            *named.entry(kind).or_default() += 1;
        }
        chosen.push(record);
    }
    chosen
}

/// What members have in common, the most telling first.
fn kinds(member: &Member) -> [[&[u8]; 2]; 3] {
    let (operator, region, zone) =
        (member.operator.as_bytes(), member.region.as_str().as_bytes(), member.zone.as_str().as_bytes());
    [[b"operator", operator], [b"region", region], [b"zone", zone]]
}
