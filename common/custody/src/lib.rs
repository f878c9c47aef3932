//! Who keeps what: receipts, levels, placement, quota, what becomes of it when supernodes come and go, and the messages of
//! those who keep and those who ask.

pub mod audit;
pub mod care;
pub mod choice;
pub mod count;
pub mod easing;
pub mod error;
pub mod handoff;
pub mod level;
pub mod liveness;
pub mod meeting;
pub mod message;
pub mod moves;
pub mod pack;
pub mod placement;
pub mod plan;
pub mod quota;
pub mod receipt;
pub mod recode;
pub mod release;
pub mod removal;
pub mod repair;
pub mod retire;
pub mod standing;
pub mod work;

#[cfg(test)]
mod model;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

pub use audit::{
    docket::Docket,
    evidence::{Evidence, Suspect},
    proof::Challenge,
    repute::Repute,
};
pub use care::Care;
pub use choice::{Choice, Recode, Recoding};
pub use count::{
    log::{Duty, LogCustody, LogDebt, LogReach},
    object::{ObjectCustody, ObjectVerdict, shards_wanted},
};
pub use error::Error;
pub use handoff::HandOff;
pub use level::Level;
pub use liveness::{Liveness, Patience, Presence};
pub use meeting::Meetings;
pub use moves::{MemberMove, Movement, PartitionLoad};
pub use pack::{
    Packed,
    bytes::Pack,
    packers,
    tail::{Rules as PackRules, Tail},
};
pub use placement::{Holding, Placement};
pub use plan::{
    fill::{Fill, Filled},
    place::{Assignment, StandIn, assign, codec, owed, placement_record, plan_placement, stand_ins},
    rendezvous::rendezvous,
    search::{Ask, Found, Outcome, Search, Sources},
    target::Target,
};
pub use quota::{Charge, Quota, Usage};
pub use receipt::{Held, Promise, Receipt};
pub use recode::{Coded, Course};
pub use release::{Keep, Release};
pub use removal::{Deletion, Doom, Fate, Removal, Removing};
pub use repair::{
    health::{Danger, Health, HeldCopy, Need, Ring, Subject},
    lease::{Lease, Leases},
    plan::{Means, RepairPlan, Stuck, plan_recode, plan_repair},
    queue::Queue,
};
pub use retire::Retirement;
pub use standing::Standing;
pub use work::Work;
