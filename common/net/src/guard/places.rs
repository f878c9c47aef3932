//! How many connections one address and one subnet may have, be setting up, and begin in a minute.

use std::{collections::HashMap, time::Duration};

use cosmic_common::time::Timestamp;

use super::{
    bucket::{Bucket, Rate},
    config::{Config, Limits},
    origin::{Block, Origin},
};

/// Arrivals that may come at once after a quiet while.
const ARRIVALS_BURST: Duration = Duration::from_secs(30);
/// One arrival, in sixtieths.
const ARRIVAL: u64 = 60;
/// A subnet may be in the middle of so many times the handshakes of one address, and begin so many times its connections.
const SUBNET_SHARE: u32 = 4;
/// Blocks remembered for each connection there may be: it stands in two, and as many more are remembered after it has gone.
const BLOCKS_PER_CONNECTION: usize = 4;
/// Blocks remembered however few connections there may be: 400 KB.
const BLOCKS_MIN: usize = 4096;

/// Why a connection may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The address has as many as it may.
    Address,
    /// The subnet has.
    Subnet,
    /// Too many handshakes of the address or the subnet are under way.
    Pending,
    /// Too many began a moment ago.
    Arrivals,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Established,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Places {
    blocks: HashMap<Block, Tenants>,
    blocks_max: usize,
    public: Limits,
    nearby: Limits,
}

/// The connections of one block.
#[derive(Debug)]
struct Tenants {
    pending: u32,
    established: u32,
    arrivals: Bucket,
    used: Timestamp,
}

/// What one block may have.
#[derive(Clone, Copy)]
struct Ceiling {
    connections: u32,
    pending: u32,
    arrivals: Rate,
    full: Full,
}

impl Places {
    /// For a process that may have so many `connections`, pending ones included.
    pub(crate) fn new(config: &Config, connections: usize) -> Self {
        Self {
            blocks: HashMap::new(),
            blocks_max: connections.saturating_mul(BLOCKS_PER_CONNECTION).max(BLOCKS_MIN),
            public: config.public,
            nearby: config.nearby,
        }
    }

    /// A connection comes, and counts in this phase from now on, unless it is refused. Only those count as pending whose
    /// address is known to be their own, or anybody could use up what another one's address may have.
    pub(crate) fn arrive(&mut self, origin: Origin, phase: Phase, now: Timestamp) -> Result<(), Full> {
        let ceilings = self.ceilings(origin);
        for (block, ceiling) in ceilings {
            self.tenants(block, ceiling, now).may_come(ceiling, phase)?;
        }
        // Who is refused for what stands already uses up no arrivals.
        let arrives = |(block, ceiling): (Block, Ceiling)| {
            let tenants = self.tenants(block, ceiling, now);
            tenants.used = now;
            tenants.arrivals.take(ceiling.arrivals, ARRIVAL, now)
        };
        if ceilings.map(arrives).contains(&false) {
            return Err(Full::Arrivals);
        }
        for (block, ceiling) in ceilings {
            *self.tenants(block, ceiling, now).count(phase) += 1;
        }
        Ok(())
    }

    /// The handshake of a pending connection has succeeded.
    pub(crate) fn establish(&mut self, origin: Origin) {
        for block in [origin.host, origin.subnet] {
            if let Some(tenants) = self.blocks.get_mut(&block) {
                tenants.pending = tenants.pending.saturating_sub(1);
                tenants.established += 1;
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn leave(&mut self, origin: Origin, phase: Phase, now: Timestamp) {
        for block in [origin.host, origin.subnet] {
            if let Some(tenants) = self.blocks.get_mut(&block) {
                let count = tenants.count(phase);
                *count = count.saturating_sub(1);
                tenants.used = now;
            }
        }
    }

    pub(crate) const fn limits(&self, origin: Origin) -> Limits {
        if origin.nearby { self.nearby } else { self.public }
    }

    fn ceilings(&self, origin: Origin) -> [(Block, Ceiling); 2] {
        let limits = self.limits(origin);
        let times = |count: u32, share: u32| count.saturating_mul(share);
        let ceiling = |connections, share, full| Ceiling {
            connections,
            pending: times(limits.pending_per_address, share),
            // In sixtieths, of which as many come in a second as arrivals in a minute.
            arrivals: Rate::new(times(limits.arrivals_per_minute, share).into(), ARRIVALS_BURST),
            full,
        };
        [
            (origin.host, ceiling(limits.connections_per_address, 1, Full::Address)),
            (origin.subnet, ceiling(limits.connections_per_subnet, SUBNET_SHARE, Full::Subnet)),
        ]
    }

    fn tenants(&mut self, block: Block, ceiling: Ceiling, now: Timestamp) -> &mut Tenants {
        if self.blocks.len() >= self.blocks_max && !self.blocks.contains_key(&block) {
            self.forget_half_of_the_idle();
        }
        self.blocks.entry(block).or_insert_with(|| Tenants {
            pending: 0,
            established: 0,
            arrivals: Bucket::full(ceiling.arrivals, now),
            used: now,
        })
    }

    /// The longer idle half goes at once, so that a flood of new addresses does not search the table each time.
    fn forget_half_of_the_idle(&mut self) {
        let mut idle: Vec<(Timestamp, Block)> = self
            .blocks
            .iter()
            .filter(|(_, tenants)| tenants.pending + tenants.established == 0)
            .map(|(block, tenants)| (tenants.used, *block))
            .collect();
        idle.sort_unstable();
        for (_, block) in idle.iter().take(idle.len().div_ceil(2)) {
            self.blocks.remove(block);
        }
    }
}

impl Tenants {
    const fn count(&mut self, phase: Phase) -> &mut u32 {
        match phase {
            Phase::Pending => &mut self.pending,
            Phase::Established => &mut self.established,
        }
    }

    fn may_come(&self, ceiling: Ceiling, phase: Phase) -> Result<(), Full> {
        if phase == Phase::Pending && self.pending >= ceiling.pending {
            Err(Full::Pending)
        } else if self.pending.saturating_add(self.established) >= ceiling.connections {
            Err(ceiling.full)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
