//! The limits: how much of one partition a zone or an operator may have, and how much of all of them a member.

use super::{REPLICAS, Site, numbered, walk::Walk};
use crate::class::Class;

/// No member takes more than 5/4 of its share, as long as the limits of zones and operators leave a choice.
const BOUND_NUMERATOR: usize = 5;
const BOUND_DENOMINATOR: usize = 4;

/// Choices that may be taken back to find holders for one partition, before the limit of operators gives way.
const TAKEN_BACK_MAX: u32 = 256;

/// What a choice looks at besides the zone, which always counts.
#[derive(Debug, Clone, Copy)]
struct Rule {
    load: bool,
    operator: bool,
}

/// Load gives way first, because it costs disk; the operators' limit second, because it costs safety.
const STRICT: [Rule; 2] = [Rule { load: true, operator: true }, Rule { load: false, operator: true }];
const RELAXED: [Rule; 2] = [Rule { load: true, operator: false }, Rule { load: false, operator: false }];

/// The loads so far, and what bounds them.
#[derive(Debug)]
pub(super) struct Limits {
    /// The places that are counted as load: replicas and holders of shards.
    holders: usize,
    zone_of: Vec<usize>,
    operator_of: Vec<usize>,
    /// For each place of a partition, how many of the places up to it one zone or operator may have.
    zone_most: Vec<usize>,
    operator_most: Vec<usize>,
    /// As a replica, and as a holder (replicas included): how many partitions each member has, and may have.
    replica: Vec<Load>,
    holder: Vec<Load>,
    /// How many of the present partition's places each zone and operator has.
    in_zone: Vec<usize>,
    in_operator: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Load {
    taken: usize,
    most: usize,
}

impl Limits {
    /// Limits for partitions of `depth` places each, at most one for each site.
    pub(super) fn new(sites: &[Site], bits: u8, class: Class, depth: usize) -> Self {
        let (zone_of, zones) = numbered(sites.iter().map(|site| &site.zone));
        let (operator_of, operators) = numbered(sites.iter().map(|site| site.operator));
        let (zone_sizes, operator_sizes) = (sizes(&zone_of, zones), sizes(&operator_of, operators));
        let replicas = REPLICAS.min(sites.len());
        let n = usize::from(class.n).min(sites.len());
        let losses = usize::from(class.losses()).max(1);
        // Places that are looked at together: the replicas, the holders, and then each spare place by itself.
        let together = |place: usize| if place < replicas { replicas } else { n.max(place + 1) };
        let operator_most = |place: usize| {
            let wish = if place < replicas { losses.min(REPLICAS - 1) } else { losses };
            let wish = if place < n { wish } else { sites.len() };
            wish.max(least_limit(&operator_sizes, together(place)))
        };
        let loads = |count: usize| {
            let zone_most = least_limit(&zone_sizes, count);
            bounds(sites, &zone_of, &zone_sizes, Slots { count, zone_most, bits })
        };
        Self {
            holders: n.max(replicas),
            zone_most: (0..depth).map(|place| least_limit(&zone_sizes, together(place))).collect(),
            operator_most: (0..depth).map(operator_most).collect(),
            replica: loads(replicas),
            holder: loads(n.max(replicas)),
            zone_of,
            operator_of,
            in_zone: vec![0; zones],
            in_operator: vec![0; operators],
        }
    }

    /// Appends to `places` the members of the partition whose walk has begun.
    pub(super) fn choose(&mut self, walk: &mut Walk, places: &mut Vec<u16>) {
        self.in_zone.fill(0);
        self.in_operator.fill(0);
        let mut chosen = Vec::with_capacity(self.zone_most.len());
        let mut take_backs = TAKEN_BACK_MAX;
        self.complete(walk, &mut chosen, &mut take_backs);
        while chosen.len() < self.zone_most.len() {
            let mut rules = STRICT.into_iter().chain(RELAXED);
            let member = rules.find_map(|rule| self.find(rule, walk, &chosen, 0).map(|(_, member)| member));
            let member =
                member.unwrap_or_else(|| unreachable!("the zones' limits leave room for every place"));
            self.take(member, &mut chosen);
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are at most 4,096 members")]
        places.extend(chosen.into_iter().map(|member| member as u16));
    }

    /// Chooses the holders that are still missing from `chosen` under the strict rules; whether they were found.
    ///
    /// The first member on the walk that is allowed takes each place; a choice that leaves a later place without
    /// anybody (its zone has only members of an operator that has its share) is taken back.
    fn complete(&mut self, walk: &mut Walk, chosen: &mut Vec<usize>, take_backs: &mut u32) -> bool {
        if chosen.len() >= self.holders {
            return true;
        }
        for rule in STRICT {
            let mut index = 0;
            while let Some((found, member)) = self.find(rule, walk, chosen, index) {
                self.take(member, chosen);
                if self.complete(walk, chosen, take_backs) {
                    return true;
                }
                self.take_back(chosen);
                *take_backs = take_backs.saturating_sub(1);
                if *take_backs == 0 {
                    return false;
                }
                index = found + 1;
            }
        }
        false
    }

    /// The first member on the walk, from `index` on, that is not chosen yet and that `rule` allows.
    fn find(&self, rule: Rule, walk: &mut Walk, chosen: &[usize], index: usize) -> Option<(usize, usize)> {
        (index..)
            .map_while(|index| walk.member(index).map(|member| (index, member)))
            .find(|(_index, member)| !chosen.contains(member) && self.allows(rule, *member, chosen.len()))
    }

    fn take(&mut self, member: usize, chosen: &mut Vec<usize>) {
        self.count(member, chosen.len(), |count| *count += 1);
        chosen.push(member);
    }

    fn take_back(&mut self, chosen: &mut Vec<usize>) {
        if let Some(member) = chosen.pop() {
            self.count(member, chosen.len(), |count| *count -= 1);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "members, zones and operators are numbered by the tables they index"
    )]
    fn count(&mut self, member: usize, place: usize, change: impl Fn(&mut usize)) {
        change(&mut self.in_zone[self.zone_of[member]]);
        change(&mut self.in_operator[self.operator_of[member]]);
        if place < REPLICAS {
            change(&mut self.replica[member].taken);
        }
        if place < self.holders {
            change(&mut self.holder[member].taken);
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "members, zones and operators are numbered by the tables they index"
    )]
    fn allows(&self, rule: Rule, member: usize, place: usize) -> bool {
        let is_full = |load: &Load| load.taken >= load.most;
        let overloaded = (place < REPLICAS && is_full(&self.replica[member]))
            || (place < self.holders && is_full(&self.holder[member]));
        self.in_zone[self.zone_of[member]] < self.zone_most[place]
            && !(rule.operator && self.in_operator[self.operator_of[member]] >= self.operator_most[place])
            && !(rule.load && overloaded)
    }
}

/// How many members each of `groups` groups has.
#[expect(clippy::indexing_slicing, reason = "members are numbered by the groups they index")]
fn sizes(group_of: &[usize], groups: usize) -> Vec<usize> {
    let mut sizes = vec![0; groups];
    group_of.iter().for_each(|group| sizes[*group] += 1);
    sizes
}

/// The least limit per group under which `places` members can be chosen from groups of these sizes: their equal
/// parts, rounded up, unless some groups are too small for that.
fn least_limit(sizes: &[usize], places: usize) -> usize {
    let room = |limit: usize| sizes.iter().map(|size| limit.min(*size)).sum::<usize>();
    (1..=places).find(|limit| room(*limit) >= places).unwrap_or(places)
}

/// The places to share: `count` in each of 2^`bits` partitions, at most `zone_most` of a partition for one zone.
#[derive(Clone, Copy)]
struct Slots {
    count: usize,
    zone_most: usize,
    bits: u8,
}

/// For each member 5/4 of its share of the slots, rounded up.
///
/// Zones share by weight, and the members of a zone by weight, but no zone gets more than its limit of each
/// partition, and no member more than one place of each.
#[expect(clippy::indexing_slicing, reason = "zones are numbered by the tables they index")]
fn bounds(sites: &[Site], zone_of: &[usize], zone_sizes: &[usize], slots: Slots) -> Vec<Load> {
    let weight_of = |site: &Site| usize::from(site.weight.max(1));
    let mut zone_weights = vec![0; zone_sizes.len()];
    for (site, zone) in sites.iter().zip(zone_of) {
        zone_weights[*zone] += weight_of(site);
    }
    let zone_most = |size: &usize| slots.zone_most.min(*size) << slots.bits;
    let zone_most: Vec<usize> = zone_sizes.iter().map(zone_most).collect();
    let zone_shares = shares(slots.count << slots.bits, &zone_weights, &zone_most);
    let mut loads = vec![Load { taken: 0, most: 0 }; sites.len()];
    for (zone, share) in zone_shares.into_iter().enumerate() {
        let members: Vec<usize> = (0..sites.len()).filter(|member| zone_of[*member] == zone).collect();
        let weights: Vec<usize> = members.iter().map(|member| weight_of(&sites[*member])).collect();
        let one_each = vec![1 << slots.bits; members.len()];
        for (member, share) in members.into_iter().zip(shares(share, &weights, &one_each)) {
            loads[member].most = (BOUND_NUMERATOR * share).div_ceil(BOUND_DENOMINATOR);
        }
    }
    loads
}

/// Shares `slots` by `weights`, each share rounded up and at most what `most` says: what is over goes to the others.
fn shares(mut slots: usize, weights: &[usize], most: &[usize]) -> Vec<usize> {
    let mut weight: usize = weights.iter().sum();
    let mut settled = vec![false; weights.len()];
    // Each round settles at least one share, or is the last.
    for _ in weights {
        let before = weight;
        for ((done, own), most) in settled.iter_mut().zip(weights).zip(most) {
            if !*done && slots * own > most * weight {
                *done = true;
                slots = slots.saturating_sub(*most);
                weight -= own;
            }
        }
        if weight == before {
            break;
        }
    }
    let share = |((done, own), most): ((bool, &usize), &usize)| {
        if done { *most } else { (slots * own).div_ceil(weight.max(1)) }
    };
    settled.into_iter().zip(weights).zip(most).map(share).collect()
}
