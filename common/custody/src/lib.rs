//! Who keeps what: receipts, levels, placement, quota, and the messages of those who keep and those who ask.

pub mod count;
pub mod error;
pub mod level;
pub mod message;
pub mod placement;
pub mod plan;
pub mod quota;
pub mod receipt;
pub mod standing;

#[cfg(test)]
mod tests;

pub use count::{
    log::{Duty, LogCustody, LogDebt, LogReach},
    object::{ObjectCustody, ObjectVerdict, shards_wanted},
};
pub use error::Error;
pub use level::Level;
pub use placement::{Holding, Placement};
pub use plan::{
    place::{Assignment, StandIn, assign, codec, owed, placement_record, plan_placement, stand_ins},
    search::{Ask, Found, Outcome, Search, Sources},
};
pub use quota::{Charge, Quota, Usage};
pub use receipt::{Held, Promise, Receipt};
pub use standing::Standing;
