//! Work is found by trying, holds for one stream alone, and has a bound.

use cosmic_common::id::PeerId;
use proptest::prelude::*;

use crate::work::{WORK_BITS_MAX, Work};

fn work(bits: u8) -> Work {
    Work { client: PeerId::from_bytes([1; 32]), server: PeerId::from_bytes([2; 32]), nonce: [3; 32], bits }
}

proptest! {
    /// An answer holds for what was asked and for less, and for another stream by chance alone.
    #[test]
    fn an_answer_is_of_one_stream(nonce in any::<[u8; 32]>(), bits in 8_u8..13) {
        let asked = Work { nonce, ..work(bits) };
        let answer = asked.answer().unwrap();
        prop_assert!((0..answer).all(|other| !asked.is_done_by(other)), "the first one is found");
        for bits in 0..=bits {
            let less = Work { bits, ..asked };
            prop_assert!(less.is_done_by(answer));
        }
        let mut far = nonce;
        far[0] ^= 1;
        let others = [
            Work { nonce: far, ..asked },
            Work { client: asked.server, server: asked.client, ..asked },
            Work { client: PeerId::from_bytes([4; 32]), ..asked },
            Work { server: PeerId::from_bytes([4; 32]), ..asked },
        ];
        // One in 256 holds by chance; all four of them in one in 2^32.
        prop_assert!(!others.iter().all(|other| other.is_done_by(answer)));
    }
}

#[test]
fn more_than_may_be_asked_is_not_looked_for() {
    assert_eq!(work(WORK_BITS_MAX + 1).answer(), None);
    assert_eq!(work(u8::MAX).answer(), None);
    assert_eq!(work(0).answer(), Some(0));
}

/// The number others have to find too: it pins the bytes that are hashed.
#[test]
fn the_bytes_are_those_of_the_chapter() {
    assert_eq!([4, 8, 12].map(|bits| work(bits).answer()), [Some(7), Some(39), Some(5115)]);
}
