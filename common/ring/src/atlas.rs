//! The atlas: the ring tables of one membership, and which of them a space is placed by.
//!
//! ```text
//! regions of the space ─▶ those there are ─▶ one ──────────────────────────▶ its ring
//!                                       └─▶ several ─▶ wide ones ─▶ the home among them ─▶ its ring
//!                                                           └─▶ none is wide ─▶ one ring of them all
//! ```
//! Each region is a ring of its own, so that the shards of an object do not lie across oceans. The **home** of a space is
//! the region of its first replica if all wide regions it may lie in were one ring: so each region gets spaces by what its
//! members weigh, and few of them move when members come and go. A region is **wide** when it can code objects even without
//! one of its members; narrow ones stand together, unless a space names one alone. Like a table, an atlas follows from the
//! active members alone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use cosmic_common::{
    hash,
    id::{Hash, PeerId, SpaceId},
};

use crate::{
    class::{Class, ClassStep, DEFAULT_STEPS},
    label::Label,
    members::{MEMBERS_MAX, Members},
    regions::Regions,
    table::{Site, Table},
};

/// Rings of several regions, but not all, that are kept: spaces name few different sets of regions. One that is not kept is
/// made again, in some milliseconds.
const COMBINED_MAX: usize = 64;

/// The ring tables of one membership.
#[derive(Debug)]
pub struct Atlas {
    bits: u8,
    steps: Vec<ClassStep>,
    whole: Arc<Table>,
    /// In the order of their labels.
    regions: Vec<Region>,
    region_of: BTreeMap<PeerId, usize>,
    everywhere: OnceLock<Rings>,
    combined: Mutex<BTreeMap<Vec<usize>, Rings>>,
    digest: Hash,
}

/// One region.
#[derive(Debug)]
struct Region {
    name: Label,
    sites: Vec<Site>,
    is_wide: bool,
    ring: OnceLock<Arc<Table>>,
}

/// The rings of the spaces that may lie in one set of regions.
#[derive(Debug, Clone)]
enum Rings {
    /// One for all of them.
    One(Arc<Table>),
    /// Of all these wide regions, those of the region in which the first place of a space is.
    Homes { over: Arc<Table>, wide: Vec<usize> },
}

/// What people want to know of one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionShape {
    /// Its name.
    pub name: Label,
    /// Its active members.
    pub members: usize,
    /// The class of what lies in it alone.
    pub class: Class,
    /// Whether spaces that name no region have their home in it; one that is not wide keeps what names it, and, where none
    /// is wide, a part of everything.
    pub is_wide: bool,
    /// Whether it still is with one member less.
    pub stays_wide: bool,
}

impl Atlas {
    /// The atlas of the active members.
    #[must_use]
    pub fn build(members: &Members) -> Self {
        let sites = members.active().map(|member| (Site::from(member), member.region.clone()));
        Self::of(sites.collect(), members.config().partition_bits, &members.config().classes)
    }

    /// The atlas of `sites` (one per peer; of more the first counts) with 2^`bits` partitions and classes by `steps`.
    #[must_use]
    pub fn of(mut sites: Vec<(Site, Label)>, bits: u8, steps: &[ClassStep]) -> Self {
        sites.sort_by_key(|(site, _region)| site.peer);
        sites.dedup_by_key(|(site, _region)| site.peer);
        sites.truncate(MEMBERS_MAX);
        let mut by_name: BTreeMap<Label, Vec<Site>> = BTreeMap::new();
        for (site, region) in &sites {
            by_name.entry(region.clone()).or_default().push(site.clone());
        }
        let regions: Vec<Region> = by_name
            .into_iter()
            .map(|(name, sites)| Region {
                name,
                is_wide: is_wide(sites.len(), steps),
                sites,
                ring: OnceLock::new(),
            })
            .collect();
        let region_of = regions
            .iter()
            .enumerate()
            .flat_map(|(number, region)| region.sites.iter().map(move |site| (site.peer, number)))
            .collect();
        let all = sites.into_iter().map(|(site, _region)| site).collect();
        let whole = Arc::new(table(all, bits, steps));
        let digest = digest(&whole, &regions);
        Self {
            bits,
            steps: steps.to_vec(),
            whole,
            regions,
            region_of,
            everywhere: OnceLock::new(),
            combined: Mutex::default(),
            digest,
        }
    }

    /// The ring that `space` is placed by, when its data may lie in `regions`. It has no member if none stands there.
    #[must_use]
    pub fn ring(&self, space: &SpaceId, regions: &Regions) -> Arc<Table> {
        if regions.is_all() {
            return self.of_rings(
                self.everywhere.get_or_init(|| self.choose((0..self.regions.len()).collect())),
                space,
            );
        }
        let there = self.regions.iter().enumerate().filter(|(_number, region)| regions.permits(&region.name));
        let there: Vec<usize> = there.map(|(number, _region)| number).collect();
        if let [one] = there[..] {
            return self.region_ring(one);
        }
        let kept = self.combined.lock().unwrap_or_else(PoisonError::into_inner).get(&there).cloned();
        let rings = kept.unwrap_or_else(|| {
            let rings = self.choose(there.clone());
            let mut combined = self.combined.lock().unwrap_or_else(PoisonError::into_inner);
            if combined.len() >= COMBINED_MAX {
                combined.pop_first();
            }
            combined.insert(there, rings.clone());
            rings
        });
        self.of_rings(&rings, space)
    }

    /// The hash that receipts and placement records name: of the one table there is, where there is one region.
    #[must_use]
    pub const fn digest(&self) -> Hash {
        self.digest
    }

    /// All members as one ring. Nothing is placed by it unless [`Atlas::ring`] says so: it is for people, and for questions
    /// that are about no space.
    #[must_use]
    pub const fn everybody(&self) -> &Arc<Table> {
        &self.whole
    }

    /// The region of an active member.
    #[must_use]
    pub fn region_of(&self, peer: &PeerId) -> Option<&Label> {
        self.region_of.get(peer).and_then(|number| self.regions.get(*number)).map(|region| &region.name)
    }

    /// Whether data that may lie in `regions` may lie at `peer`: an active member that stands in one of them.
    #[must_use]
    pub fn permits(&self, regions: &Regions, peer: &PeerId) -> bool {
        self.region_of(peer).is_some_and(|region| regions.permits(region))
    }

    /// The regions, in the order of their names.
    pub fn regions(&self) -> impl Iterator<Item = RegionShape> {
        self.regions.iter().map(|region| RegionShape {
            name: region.name.clone(),
            members: region.sites.len(),
            class: Class::for_members(region.sites.len(), &self.steps),
            is_wide: region.is_wide || self.regions.len() == 1,
            stays_wide: is_wide(region.sites.len().saturating_sub(1), &self.steps),
        })
    }

    /// The rings that members stand in: one for each region, or one of them all where none is wide.
    #[must_use]
    pub fn rings(&self) -> Vec<Arc<Table>> {
        if !self.has_homes() {
            return vec![Arc::clone(&self.whole)];
        }
        (0..self.regions.len()).map(|number| self.region_ring(number)).collect()
    }

    /// That of them in which `peer` stands.
    #[must_use]
    pub fn ring_of(&self, peer: &PeerId) -> Arc<Table> {
        let number = self.region_of.get(peer).filter(|_number| self.has_homes());
        number.map_or_else(|| Arc::clone(&self.whole), |number| self.region_ring(*number))
    }

    fn has_homes(&self) -> bool {
        self.regions.iter().any(|region| region.is_wide)
    }

    fn of_rings(&self, rings: &Rings, space: &SpaceId) -> Arc<Table> {
        match rings {
            Rings::One(ring) => Arc::clone(ring),
            Rings::Homes { over, wide } => {
                let first = over.replicas_of(space).next();
                let home =
                    first.and_then(|peer| self.region_of.get(&peer)).filter(|home| wide.contains(home));
                home.map_or_else(|| Arc::clone(over), |home| self.region_ring(*home))
            }
        }
    }

    fn choose(&self, there: Vec<usize>) -> Rings {
        let is_wide = |number: &usize| self.regions.get(*number).is_some_and(|region| region.is_wide);
        let wide: Vec<usize> = there.iter().copied().filter(is_wide).collect();
        match &wide[..] {
            [] => Rings::One(self.union(&there)),
            [one] => Rings::One(self.region_ring(*one)),
            _ => Rings::Homes { over: self.union(&wide), wide },
        }
    }

    fn region_ring(&self, number: usize) -> Arc<Table> {
        let Some(region) = self.regions.get(number) else { return Arc::clone(&self.whole) };
        if self.regions.len() == 1 {
            return Arc::clone(&self.whole);
        }
        Arc::clone(region.ring.get_or_init(|| Arc::new(table(region.sites.clone(), self.bits, &self.steps))))
    }

    fn union(&self, numbers: &[usize]) -> Arc<Table> {
        match numbers {
            [one] => self.region_ring(*one),
            _ if numbers.len() == self.regions.len() => Arc::clone(&self.whole),
            _ => {
                let regions = numbers.iter().filter_map(|number| self.regions.get(*number));
                let sites = regions.flat_map(|region| region.sites.iter().cloned()).collect();
                Arc::new(table(sites, self.bits, &self.steps))
            }
        }
    }
}

fn table(sites: Vec<Site>, bits: u8, steps: &[ClassStep]) -> Table {
    let class = Class::for_members(sites.len(), steps);
    Table::of(sites, bits, class)
}

/// Whether a region of `members` reaches the first class even without one of them: then one may retire without throwing its
/// spaces out of the region, and what one loses has a place to be made again.
fn is_wide(members: usize, steps: &[ClassStep]) -> bool {
    let steps = if steps.is_empty() { &DEFAULT_STEPS } else { steps };
    steps.first().is_some_and(|step| members > usize::from(step.members))
}

/// Of one region the digest of its table, as it always was; of several also who stands in which.
fn digest(whole: &Table, regions: &[Region]) -> Hash {
    if regions.len() <= 1 {
        return whole.digest();
    }
    let mut bytes = whole.digest().as_bytes().to_vec();
    for Region { name, sites, .. } in regions {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a label has at most 32 bytes, an atlas 4,096 members"
        )]
        let (length, count) = (name.as_str().len() as u8, sites.len() as u16);
        bytes.push(length);
        bytes.extend(name.as_str().bytes().chain(count.to_be_bytes()));
        bytes.extend(sites.iter().flat_map(|site| *site.peer.as_bytes()));
    }
    Hash::from_bytes(hash::derive("cosmic ring atlas 1", &[&bytes]))
}
