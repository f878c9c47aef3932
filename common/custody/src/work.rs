//! Work for strangers: a busy gateway wants a number from whoever has proven nothing to it, found only by trying, and looked at
//! with one hash. Bound to both peers and to the nonce of the stream, so that none is found in advance, sold or used twice.

use cosmic_common::{hash::derive, id::PeerId};

/// The most a gateway may ask for: 131,072 trials on average, 0.1 s on the reference machine and less than 1 s on any phone,
/// in 99 of 100 cases.
pub const WORK_BITS_MAX: u8 = 17;
/// Of so many times the usual trials one is found, but for one case in 10^27.
const LUCK: u64 = 64;

/// What has to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Who looks for it.
    pub client: PeerId,
    /// Who asks for it.
    pub server: PeerId,
    /// What the server sent on this stream.
    pub nonce: [u8; 32],
    /// Leading zero bits of the hash.
    pub bits: u8,
}

impl Work {
    /// Whether `answer` is what was asked for.
    #[must_use]
    pub fn is_done_by(&self, answer: u64) -> bool {
        let answer = answer.to_be_bytes();
        let parts = [self.client.as_bytes(), self.server.as_bytes(), &self.nonce[..], &answer];
        let digest = derive("cosmic work 1", &parts);
        let zeros = digest.iter().position(|byte| *byte != 0).map_or(256, |whole| {
            let next = digest.get(whole).map_or(0, |byte| byte.leading_zeros());
            u32::try_from(whole * 8).unwrap_or(u32::MAX).saturating_add(next)
        });
        zeros >= u32::from(self.bits)
    }

    /// Looks for an answer, which takes a core up to a second; `None` if more is asked than may be.
    #[must_use]
    pub fn answer(&self) -> Option<u64> {
        if self.bits > WORK_BITS_MAX {
            return None;
        }
        (0..LUCK << self.bits).find(|answer| self.is_done_by(*answer))
    }
}
