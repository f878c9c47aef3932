//! How full this process is, and who has to go first when it is too full.

use std::time::Duration;

use super::standing::Standing;

/// A part of something, in thousandths.
type Permille = u16;

/// How late the loop of the network may be before it counts as busy: what a person begins to feel, …
const LATE_BUSY: Duration = Duration::from_millis(100);
/// … and before it counts as overloaded.
const LATE_OVERLOADED: Duration = Duration::from_secs(1);
/// How full a queue or the list of connections may be before the process counts as busy, …
const FULL_BUSY: Permille = 600;
/// … and overloaded: a tenth is kept for those who have proven something.
const FULL_OVERLOADED: Permille = 900;
/// A state is left when things are a quarter better than where it begins, so that it does not flicker.
const BETTER: f64 = 0.75;
/// A stranger has so long to prove something before it may be sent away: a handshake and a session over a slow line.
const GRACE: Duration = Duration::from_secs(10);

/// Bits of work for a stranger when the process begins to be busy: a thousand trials, a millisecond, …
const WORK_BITS_MIN: u8 = 10;
/// … and when it is about to be overloaded: what `docs/protocol/custody.md` allows.
const WORK_BITS_MAX: u8 = 17;

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Saturation {
    /// Connections that stand, of those there may be.
    pub(crate) connections: Permille,
    /// The fullest queue of streams.
    pub(crate) queue: Permille,
    /// How late the loop of the network mostly was in the last seconds.
    pub(crate) late: Duration,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Everybody is welcome.
    #[default]
    Calm,
    /// Addresses are validated, and strangers work for what they want.
    Busy,
    /// Strangers are refused.
    Overloaded,
}

/// A connection that may have to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guest<Id> {
    pub(crate) id: Id,
    pub(crate) standing: Standing,
    /// Streams it carries now.
    pub(crate) streams: usize,
    /// How long it has stood.
    pub(crate) age: Duration,
}

impl Saturation {
    /// How much work a stranger has to bring while the process is busy: the fuller, the more.
    pub(crate) fn work_bits(&self) -> u8 {
        let full = f64::from(self.connections.max(self.queue));
        let share = |value: f64, from: f64, to: f64| ((value - from) / (to - from)).clamp(0.0, 1.0);
        let strain = share(full, f64::from(FULL_BUSY), f64::from(FULL_OVERLOADED)).max(share(
            self.late.as_secs_f64(),
            LATE_BUSY.as_secs_f64(),
            LATE_OVERLOADED.as_secs_f64(),
        ));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
        let more = (strain * f64::from(WORK_BITS_MAX - WORK_BITS_MIN)).round() as u8;
        WORK_BITS_MIN + more
    }

    /// The pressure, which was `before` until now.
    pub(crate) fn pressure(&self, before: Pressure) -> Pressure {
        let reaches = |full: Permille, late: Duration, stays: bool| {
            let ease = if stays { BETTER } else { 1.0 };
            f64::from(self.connections.max(self.queue)) >= f64::from(full) * ease
                || self.late >= late.mul_f64(ease)
        };
        if reaches(FULL_OVERLOADED, LATE_OVERLOADED, before >= Pressure::Overloaded) {
            Pressure::Overloaded
        } else if reaches(FULL_BUSY, LATE_BUSY, before >= Pressure::Busy) {
            Pressure::Busy
        } else {
            Pressure::Calm
        }
    }
}

impl Pressure {
    /// As the metric tells it.
    pub(crate) const fn level(self) -> i64 {
        match self {
            Self::Calm => 0,
            Self::Busy => 1,
            Self::Overloaded => 2,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Overloaded => "overloaded",
        }
    }

    /// Whether something new is refused to a peer of this standing.
    pub(crate) fn refuses(self, standing: Standing) -> bool {
        self == Self::Overloaded && standing == Standing::Stranger
    }
}

/// `count` of `guests` that have to go, the first first: strangers before members, the idle before those with work, the longest
/// there first. The ring stays, members with work under way stay, and strangers get a moment to prove something.
pub(crate) fn leave_first<Id: Copy>(guests: impl IntoIterator<Item = Guest<Id>>, count: usize) -> Vec<Id> {
    let may_go = |guest: &Guest<Id>| match guest.standing {
        Standing::Stranger => guest.age >= GRACE,
        Standing::Member => guest.streams == 0,
        Standing::Ring => false,
    };
    let mut leaving: Vec<Guest<Id>> = guests.into_iter().filter(may_go).collect();
    leaving.sort_by_key(|guest| (guest.standing, guest.streams > 0, std::cmp::Reverse(guest.age)));
    leaving.iter().take(count).map(|guest| guest.id).collect()
}

#[cfg(test)]
mod tests;
