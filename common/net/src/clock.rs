//! The time that runs while this process does.

use std::time::Instant;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "libp2p measures by it, and nothing of it is written down or told to others"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
