//! The walk: for each partition all members, in the order in which their points follow on the ring.

use std::hash::{Hash, Hasher};

use cosmic_common::id::PeerId;
use hashring::HashRing;

use super::Site;

/// Points on the ring for each unit of weight.
const POINTS: u32 = 64;
/// More points than this are halved until they fit: 48 bytes each while the table is made.
const POINTS_MAX: u64 = 1 << 20;

/// One point of a member on the ring.
#[derive(Debug, Clone, Copy)]
struct VNode {
    peer: PeerId,
    index: u32,
    /// The member's place; follows from the peer.
    place: u16,
}

/// By hand, because the derived one would hash lengths as `usize`, which differs between machines.
impl Hash for VNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.peer.as_bytes());
        state.write(&self.index.to_be_bytes());
    }
}

/// Where a partition lies on the ring.
#[derive(Debug, Clone, Copy)]
struct Start(u32);

impl Hash for Start {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(b"cosmic partition 1");
        state.write(&self.0.to_be_bytes());
    }
}

/// The ring as a list of places, and the walk along it that has begun.
#[derive(Debug)]
pub(super) struct Walk {
    /// The place of the member behind each point, in the order of points.
    points: Vec<u16>,
    /// For each partition the first point after it.
    starts: Vec<usize>,
    /// In which walk each member was met last.
    met: Vec<u32>,
    number: u32,
    next: usize,
    steps_left: usize,
    /// The members met in this walk, in their order.
    order: Vec<u16>,
}

impl Walk {
    pub(super) fn new(sites: &[Site], bits: u8) -> Self {
        let total: u64 = sites.iter().map(|site| u64::from(site.weight)).sum();
        let mut per_weight = POINTS;
        while per_weight > 1 && total * u64::from(per_weight) > POINTS_MAX {
            per_weight /= 2;
        }
        let points_of = |site: &Site| u32::from(site.weight.max(1)) * per_weight;
        let mut ring = HashRing::new();
        ring.batch_add(
            (0_u16..)
                .zip(sites)
                .flat_map(|(place, site)| {
                    (0..points_of(site)).map(move |index| VNode { peer: site.peer, index, place })
                })
                .collect(),
        );
        let firsts: Vec<Option<VNode>> =
            (0..1 << bits).map(|partition| ring.get(&Start(partition)).copied()).collect();
        let points: Vec<VNode> = ring.into_iter().collect();
        let mut positions: Vec<Vec<usize>> =
            sites.iter().map(|site| vec![0; points_of(site) as usize]).collect();
        for (position, point) in points.iter().enumerate() {
            if let Some(at) =
                positions.get_mut(usize::from(point.place)).and_then(|of| of.get_mut(point.index as usize))
            {
                *at = position;
            }
        }
        let position =
            |point: VNode| positions.get(usize::from(point.place))?.get(point.index as usize).copied();
        let starts = firsts.into_iter().map(|first| first.and_then(position).unwrap_or(0)).collect();
        let points = points.iter().map(|point| point.place).collect();
        Self {
            points,
            starts,
            met: vec![u32::MAX; sites.len()],
            number: 0,
            next: 0,
            steps_left: 0,
            order: Vec::new(),
        }
    }

    /// Begins the walk of `partition`.
    pub(super) fn begin(&mut self, partition: u32) {
        self.number = partition;
        self.next = self.starts.get(partition as usize).copied().unwrap_or(0);
        self.steps_left = self.points.len();
        self.order.clear();
    }

    /// The member that is met as number `index`, from 0 on; None when all have been met.
    pub(super) fn member(&mut self, index: usize) -> Option<usize> {
        while self.order.len() <= index && self.steps_left > 0 {
            self.steps_left -= 1;
            let place = *self.points.get(self.next)?;
            self.next = (self.next + 1) % self.points.len();
            let met = self.met.get_mut(usize::from(place))?;
            if *met != self.number {
                *met = self.number;
                self.order.push(place);
            }
        }
        self.order.get(index).copied().map(usize::from)
    }
}
