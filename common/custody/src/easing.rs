//! Easing: a supernode that has had too much to do for a while sends some of its devices elsewhere, a few at a time.
//!
//! ```text
//!            overloaded for PATIENCE        each STEP, one in PART of the sessions
//! bearing ──────────────────────────▶ easing ──────────────────────────────────▶ …
//!    ▲                                   │
//!    └── not overloaded any more ────────┘      never more than half of them in a SPELL, and nobody if nobody is left to go to
//! ```
//! A step is small and the next one waits, so that what it brings shows before more go; the bound keeps a ring in which
//! everybody has too much to do from passing its devices around.

use std::time::Duration;

use cosmic_common::time::Timestamp;

/// How long it bears too much: a burst is over by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two steps.
const STEP: Duration = Duration::from_secs(10);
/// One in so many sessions goes with a step.
const PART: usize = 16;
/// The time in which at most half of the sessions go.
const SPELL: Duration = Duration::from_secs(10 * 60);

/// What a supernode that may have too much to do remembers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Easing {
    /// Since when there has been too much, without a break.
    overloaded: Option<Timestamp>,
    stepped: Option<Timestamp>,
    spell: Option<Spell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Spell {
    began: Timestamp,
    /// How many sessions may go in it still.
    left: usize,
}

impl Easing {
    /// How many of `sessions` are to go elsewhere now.
    pub fn look(&mut self, now: Timestamp, is_overloaded: bool, sessions: usize, is_alone: bool) -> usize {
        if !is_overloaded {
            self.overloaded = None;
            return 0;
        }
        let since = *self.overloaded.get_or_insert(now);
        let is_due = now.since(since) >= PATIENCE && self.stepped.is_none_or(|last| now.since(last) >= STEP);
        if is_alone || !is_due {
            return 0;
        }
        let spell = match self.spell.filter(|spell| now.since(spell.began) < SPELL) {
            Some(spell) => spell,
            None => Spell { began: now, left: sessions / 2 },
        };
        let going = sessions.div_ceil(PART).min(spell.left);
        self.spell = Some(Spell { left: spell.left - going, ..spell });
        self.stepped = Some(now);
        going
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_000_000 + seconds * 1000)
    }

    #[test]
    fn a_burst_moves_nobody_and_what_lasts_a_few_at_a_time() {
        let mut easing = Easing::default();
        assert_eq!(easing.look(at(0), true, 160, false), 0);
        assert_eq!(easing.look(at(9), true, 160, false), 0);
        assert_eq!(easing.look(at(10), false, 160, false), 0, "a burst");
        assert_eq!(easing.look(at(11), true, 160, false), 0);
        assert_eq!(easing.look(at(21), true, 160, false), 10);
        assert_eq!(easing.look(at(22), true, 150, false), 0, "what it brings has to show first");
        assert_eq!(easing.look(at(31), true, 150, false), 10);
        assert_eq!(easing.look(at(41), false, 140, false), 0);
    }

    #[test]
    fn nobody_is_sent_away_if_there_is_nobody_else() {
        let mut easing = Easing::default();
        assert!((0..100).all(|second| easing.look(at(second), true, 100, true) == 0));
        assert_eq!(easing.look(at(100), true, 100, false), 7);
    }

    proptest! {
        #[test]
        fn at_most_half_goes_in_a_spell(looks in prop::collection::vec((1_u64..20, any::<bool>()), 1..60)) {
            let (mut easing, mut sessions, mut now, mut gone) = (Easing::default(), 1000_usize, 0, 0);
            for (later, is_overloaded) in looks {
                now += later;
                if now >= 600 {
                    break;
                }
                let going = easing.look(at(now), is_overloaded, sessions, false);
                prop_assert!(is_overloaded || going == 0);
                (sessions, gone) = (sessions - going, gone + going);
            }
            prop_assert!(gone <= 500, "{} went", gone);
        }
    }
}
