use proptest::prelude::*;

use super::*;

fn guests() -> impl Strategy<Value = Vec<Guest<usize>>> {
    let standing = prop_oneof![Just(Standing::Stranger), Just(Standing::Member), Just(Standing::Ring)];
    prop::collection::vec((standing, 0_usize..3, 0_u64..30), 0..60).prop_map(|guests| {
        let guest =
            |(id, (standing, streams, secs))| Guest { id, standing, streams, age: Duration::from_secs(secs) };
        guests.into_iter().enumerate().map(guest).collect()
    })
}

fn saturation() -> impl Strategy<Value = Saturation> {
    (0_u16..=1000, 0_u16..=1000, 0_u64..2000).prop_map(|(connections, queue, late)| Saturation {
        connections,
        queue,
        late: Duration::from_millis(late),
    })
}

proptest! {
    #[test]
    fn members_at_work_and_the_ring_stay_and_members_go_after_strangers(guests in guests(), count in 0_usize..60) {
        let leaving = leave_first(guests.iter().copied(), count);
        prop_assert!(leaving.len() <= count);
        let of = |id: &usize| guests[*id];
        prop_assert!(leaving.iter().map(of).all(|guest| guest.standing < Standing::Ring));
        let at_work = |guest: Guest<usize>| guest.standing == Standing::Member && guest.streams > 0;
        prop_assert!(!leaving.iter().map(of).any(at_work));
        let rank = |id: &usize| (of(id).standing, of(id).streams > 0);
        prop_assert!(leaving.is_sorted_by_key(rank));
        if leaving.iter().any(|id| of(id).standing == Standing::Member) {
            let spared = |guest: &Guest<usize>| {
                guest.standing == Standing::Stranger && guest.age >= GRACE && !leaving.contains(&guest.id)
            };
            prop_assert!(!guests.iter().any(spared), "no member goes while a stranger could");
        }
    }

    #[test]
    fn more_load_is_more_work_within_bounds(one in saturation(), more in 0_u16..500) {
        let busier = Saturation { queue: one.queue.saturating_add(more), ..one };
        prop_assert!((10..=17).contains(&one.work_bits()));
        prop_assert!(busier.work_bits() >= one.work_bits());
    }

    #[test]
    fn worse_is_never_taken_for_better(one in saturation(), other in saturation(), busy in 0_u8..3) {
        let before = [Pressure::Calm, Pressure::Busy, Pressure::Overloaded][usize::from(busy)];
        let worse = Saturation {
            connections: one.connections.max(other.connections),
            queue: one.queue.max(other.queue),
            late: one.late.max(other.late),
        };
        prop_assert!(worse.pressure(before) >= one.pressure(before));
        prop_assert!(one.pressure(before) >= one.pressure(Pressure::Calm));
        prop_assert_eq!(one.pressure(one.pressure(before)), one.pressure(before), "it does not flicker");
    }
}

#[test]
fn pressure_begins_and_ends_where_it_should() {
    let full = |connections| Saturation { connections, ..Saturation::default() };
    for (connections, before, after) in [
        (599, Pressure::Calm, Pressure::Calm),
        (600, Pressure::Calm, Pressure::Busy),
        (451, Pressure::Busy, Pressure::Busy),
        (449, Pressure::Busy, Pressure::Calm),
        (900, Pressure::Busy, Pressure::Overloaded),
        (676, Pressure::Overloaded, Pressure::Overloaded),
        (674, Pressure::Overloaded, Pressure::Busy),
    ] {
        assert_eq!(full(connections).pressure(before), after, "{connections} {before:?}");
    }
    let late = Saturation { late: Duration::from_secs(2), ..Saturation::default() };
    assert_eq!(late.pressure(Pressure::Calm), Pressure::Overloaded);
}

#[test]
fn only_strangers_are_refused() {
    assert!(Pressure::Overloaded.refuses(Standing::Stranger));
    for standing in [Standing::Member, Standing::Ring] {
        assert!(!Pressure::Overloaded.refuses(standing));
    }
    assert!(!Pressure::Busy.refuses(Standing::Stranger));
}
