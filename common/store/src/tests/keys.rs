//! Keys sort as their bytes do, and spans hold exactly the keys they say.

use proptest::prelude::*;

use crate::key::{Key, Span, bytes_of};

type Triple = (u8, u16, [u8; 2]);

fn inside(span: &Span<Triple>, key: &Triple) -> bool {
    let bytes = bytes_of(key);
    span.lower <= bytes && bytes < span.upper
}

fn small() -> impl Strategy<Value = Triple> {
    let edge8 = prop_oneof![Just(0), Just(u8::MAX), any::<u8>()];
    let edge16 = prop_oneof![Just(0), Just(u16::MAX), any::<u16>()];
    (edge8, edge16, any::<[u8; 2]>())
}

proptest! {
    #[test]
    fn bytes_sort_as_keys(left in small(), right in small()) {
        prop_assert_eq!(left.cmp(&right), bytes_of(&left).cmp(&bytes_of(&right)));
        prop_assert_eq!(bytes_of(&left).len(), Triple::SIZE);
        prop_assert_eq!(Triple::read(&bytes_of(&left)), Some(left));
    }

    #[test]
    fn spans_hold_what_they_say(a in small(), b in small(), key in small()) {
        prop_assert!(inside(&Span::all(), &key));
        prop_assert_eq!(inside(&Span::prefix(&a.0), &key), key.0 == a.0);
        prop_assert_eq!(inside(&Span::prefix(&(a.0, a.1)), &key), (key.0, key.1) == (a.0, a.1));
        prop_assert_eq!(inside(&Span::range(a..b), &key), (a..b).contains(&key));
        prop_assert_eq!(inside(&Span::range(a..=b), &key), (a..=b).contains(&key));
        prop_assert_eq!(inside(&Span::range(a..), &key), a <= key);
        prop_assert_eq!(inside(&Span::range(..b), &key), key < b);
        let part = Span::prefix(&a.0).from(&a).before(&b);
        prop_assert_eq!(inside(&part, &key), key.0 == a.0 && a <= key && key < b);
        prop_assert_eq!(inside(&Span::all().after(&a), &key), a < key);
        prop_assert!(Span::<Triple>::prefix(&a.0).shares(1) && !Span::<Triple>::all().shares(1));
    }
}

#[test]
fn other_sizes_are_not_keys() {
    for bytes in [&[][..], &[0; 4], &[0; 6]] {
        assert_eq!(Triple::read(bytes), None);
    }
    assert!(Span::range((1u16, 0u16)..(1, 0)).is_empty());
    let reversed = Span::range((2u16, 0u16)..=(2, 9)).before(&(1, 0));
    assert!(reversed.is_empty());
}
