//! A simulated crowd under the rules of the directory: tables, answers and walks are those of the product, while a fifth lies,
//! somebody stands around the key on purpose, and servers come and go. `COSMIC_CROWD` says how many there are.

use std::{
    collections::{BTreeSet, HashMap},
    net::Ipv4Addr,
};

use cosmic_common::{hash::derive, id::PeerId};

use super::{NEAREST, Place, Server, Walk, named};
use crate::{directory::table, guard::Origin};

/// Servers in CI; `make simulate` has four times as many.
const CROWD: usize = 500;
/// Worlds of each kind.
const WORLDS: u64 = 6;
/// Places of one listing, which are searched together. Each is published by one server; in a network every supernode does.
const PLACES: usize = 3;
/// Listings that are searched for in each world.
const SEARCHES: usize = 40;
/// One of so many lies.
const LIARS_EACH: usize = 5;
/// Sybils around each key.
const SYBILS: usize = 60;
/// Leading bits that a Sybil's place shares with the key: a million tries for each.
const SYBIL_BITS: usize = 20;
/// One of so many is gone when a record is published, and as many more when it is looked for.
const GONE_EACH: usize = 10;
/// Servers that a liar makes up for each answer.
const MADE_UP: usize = 20;

/// Numbers that follow from a seed.
struct Chance {
    seed: [u8; 32],
    drawn: u64,
}

impl Chance {
    fn new(world: u64) -> Self {
        Self { seed: derive("crowd chance", &[&world.to_be_bytes()]), drawn: 0 }
    }

    fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        derive("crowd draw", &[&self.seed, &self.drawn.to_be_bytes()])
    }

    fn below(&mut self, count: usize) -> usize {
        let [a, b, c, d, ..] = self.bytes();
        usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap() % count
    }

    fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            order.swap(place, self.below(place + 1));
        }
        order
    }
}

/// What is wrong with a world.
#[derive(Clone, Copy, Default)]
struct Trouble {
    lying: bool,
    /// Subnets the Sybils come from; none if there are none.
    sybil_subnets: usize,
    /// Whether liars and Sybils name servers that do not exist, instead of each other.
    making_up: bool,
    /// Whether Sybils say nothing at all.
    silent: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    Liar,
    Sybil,
}

struct Node {
    server: Server,
    kind: Kind,
    table: Vec<usize>,
    here: bool,
    kept: BTreeSet<usize>,
}

struct World {
    trouble: Trouble,
    nodes: Vec<Node>,
    by_place: HashMap<Place, usize>,
    keys: Vec<Place>,
    chance: Chance,
    asked: Vec<usize>,
}

/// Somebody at a place, in a subnet that has this number.
fn server(place: [u8; 32], subnet: usize) -> Server {
    let [_, a, b, c] = u32::try_from(subnet).unwrap().to_be_bytes();
    let host = Ipv4Addr::new(60 + a, b, c, 1);
    Server {
        peer: PeerId::from_bytes(place),
        place: Place(place),
        addresses: Vec::new(),
        subnets: vec![Origin::of(host.into()).subnet],
    }
}

/// A place that begins as `target` does.
fn beside(target: &Place, bits: usize, chance: &mut Chance) -> [u8; 32] {
    let mut place = chance.bytes();
    for (byte, (own, wanted)) in place.iter_mut().zip(target.0).enumerate() {
        let shared = bits.saturating_sub(8 * byte).min(8);
        let mask = u8::try_from((0xff00_u16 >> shared) & 0xff).unwrap();
        *own = (wanted & mask) | (*own & !mask);
    }
    place
}

impl World {
    fn new(number: u64, count: usize, trouble: Trouble) -> Self {
        let mut chance = Chance::new(number);
        let keys: Vec<Place> = (0..PLACES).map(|_| Place(chance.bytes())).collect();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..count {
            let lies = trouble.lying && number % LIARS_EACH == LIARS_EACH - 1;
            let kind = if lies { Kind::Liar } else { Kind::Honest };
            nodes.push(Node::new(server(chance.bytes(), number), kind));
        }
        if trouble.sybil_subnets > 0 {
            for (number, key) in keys.iter().flat_map(|key| [key; SYBILS]).enumerate() {
                let subnet = (1 << 20) + number % trouble.sybil_subnets;
                let place = beside(key, SYBIL_BITS, &mut chance);
                nodes.push(Node::new(server(place, subnet), Kind::Sybil));
            }
        }
        let by_place = nodes.iter().enumerate().map(|(number, node)| (node.server.place, number)).collect();
        let mut world = Self { trouble, nodes, by_place, keys, chance, asked: Vec::new() };
        world.meet();
        world
    }

    /// Everybody honest hears of everybody once, in an order of its own, and keeps whom its table has room for.
    fn meet(&mut self) {
        for number in 0..self.nodes.len() {
            if self.nodes[number].kind != Kind::Honest {
                continue;
            }
            let own = self.nodes[number].server.place;
            let mut buckets: HashMap<u32, Vec<usize>> = HashMap::new();
            let mut of_subnet = HashMap::new();
            for other in self.chance.shuffled(self.nodes.len()) {
                let server = &self.nodes[other].server;
                if other == number {
                    continue;
                }
                let bucket = buckets.entry(alike(&own, &server.place)).or_default();
                let in_table = of_subnet.entry(server.subnets.clone()).or_insert(0);
                let in_bucket =
                    bucket.iter().filter(|held| self.nodes[**held].server.subnets == server.subnets);
                if bucket.len() < NEAREST && table::is_few(in_bucket.count(), *in_table) {
                    bucket.push(other);
                    *in_table += 1;
                }
            }
            self.nodes[number].table = buckets.into_values().flatten().collect();
        }
    }

    fn table(&self, number: usize) -> Vec<Server> {
        self.nodes[number].table.iter().map(|held| self.nodes[*held].server.clone()).collect()
    }

    /// What somebody answers; nothing if it is not there.
    fn answer(&mut self, number: Option<usize>, target: &Place) -> Option<Vec<Server>> {
        let number = number.filter(|number| self.nodes[*number].here)?;
        match self.nodes[number].kind {
            Kind::Honest => Some(named(target, self.table(number))),
            Kind::Sybil if self.trouble.silent => None,
            Kind::Liar | Kind::Sybil => {
                let others = self.nodes.iter().filter(|node| node.kind != Kind::Honest);
                let mut named = named(target, others.map(|node| node.server.clone()).collect());
                if self.trouble.making_up {
                    let made_up = (0..MADE_UP).map(|_| {
                        let subnet = (1 << 21) + self.chance.below(1 << 16);
                        server(beside(target, SYBIL_BITS, &mut self.chance), subnet)
                    });
                    named = made_up.chain(named).collect();
                }
                Some(named)
            }
        }
    }

    /// A walk of `by` to a key, which asks several at a time as the product does; whom it found there.
    fn walk(&mut self, by: usize, key: usize, enough: impl Fn(&Self, usize) -> bool) -> Vec<usize> {
        let target = self.keys[key];
        let own = self.nodes[by].server.clone();
        let mut walk = Walk::new((own.peer, own.place), target, self.table(by), self.chance.bytes());
        let (mut asking, mut answered, mut asked) = (Vec::new(), Vec::new(), 0);
        loop {
            asking.extend(std::iter::from_fn(|| walk.next()));
            if asking.is_empty() {
                break;
            }
            asked += 1;
            let (server, near) = asking.swap_remove(self.chance.below(asking.len()));
            let number = self.by_place.get(&server.place).copied();
            match self.answer(number, &near) {
                Some(named) => {
                    walk.answered(&server, named);
                    answered.extend(number);
                    if number.is_some_and(|number| enough(self, number)) {
                        break;
                    }
                }
                None => walk.failed(&server),
            }
        }
        self.asked.push(asked);
        answered
    }

    fn publish(&mut self, key: usize) {
        let by = self.somebody();
        for number in self.walk(by, key, |_, _| false) {
            if self.nodes[number].kind == Kind::Honest {
                self.nodes[number].kept.insert(key);
            }
        }
    }

    fn finds(&mut self, by: usize, key: usize) -> bool {
        let found = self.walk(by, key, |world, number| world.nodes[number].kept.contains(&key));
        found.last().is_some_and(|last| self.nodes[*last].kept.contains(&key))
    }

    /// Somebody honest who is there.
    fn somebody(&mut self) -> usize {
        loop {
            let number = self.chance.below(self.nodes.len());
            if self.nodes[number].here && self.nodes[number].kind == Kind::Honest {
                return number;
            }
        }
    }

    /// One of ten goes without a word.
    fn churn(&mut self) {
        for number in self.chance.shuffled(self.nodes.len()).into_iter().step_by(GONE_EACH) {
            self.nodes[number].here = self.nodes[number].kind == Kind::Sybil;
        }
    }
}

impl Node {
    const fn new(server: Server, kind: Kind) -> Self {
        Self { server, kind, table: Vec::new(), here: true, kept: BTreeSet::new() }
    }
}

/// Bits in which two places begin alike.
fn alike(one: &Place, other: &Place) -> u32 {
    let mut bits = 0;
    for (one, other) in one.0.iter().zip(other.0) {
        let differing = one ^ other;
        bits += differing.leading_zeros();
        if differing != 0 {
            break;
        }
    }
    bits
}

/// Publishes and searches in several worlds; searches of one place that failed, listings that were not found, of how many.
fn lost(name: &str, trouble: Trouble) -> (usize, usize, usize) {
    let count = std::env::var("COSMIC_CROWD").ok().and_then(|count| count.parse().ok()).unwrap_or(CROWD);
    let (mut failed, mut unlisted, mut searches, mut asked) = (0, 0, 0, Vec::new());
    for number in 0..WORLDS {
        let mut world = World::new(number, count, trouble);
        world.churn();
        for place in 0..PLACES {
            world.publish(place);
        }
        world.churn();
        for _ in 0..SEARCHES {
            let by = world.somebody();
            let missing = (0..PLACES).filter(|place| !world.finds(by, *place)).count();
            searches += 1;
            failed += missing;
            unlisted += usize::from(missing == PLACES);
        }
        asked.append(&mut world.asked);
    }
    asked.sort_unstable();
    let [half, most] = [asked.len() / 2, asked.len() - 1].map(|place| asked[place]);
    println!(
        "{count} servers, {name}: {failed} of {} places and {unlisted} of {searches} listings not found; asked {half}, at most {most}",
        searches * PLACES
    );
    (failed, unlisted, searches)
}

/// In thousandths of `of`, rounded up.
fn permille(lost: usize, of: usize) -> usize {
    (lost * 1000).div_ceil(of)
}

#[test]
fn in_a_clean_crowd_everything_is_found() {
    let (places, _, searches) = lost("clean", Trouble::default());
    assert!(permille(places, searches * PLACES) <= 1, "{places}");
}

#[test]
fn with_a_fifth_of_liars_hardly_any_place_is_lost() {
    for (name, making_up) in [("a fifth lies", false), ("a fifth lies and makes up others", true)] {
        let (places, _, searches) = lost(name, Trouble { lying: true, making_up, ..Trouble::default() });
        assert!(permille(places, searches * PLACES) <= 10, "{places}");
    }
}

#[test]
fn who_stands_around_a_key_with_a_few_subnets_does_not_hide_it() {
    let lying = Trouble { lying: true, sybil_subnets: 6, ..Trouble::default() };
    let names = ["60 Sybils of 6 subnets around each key", "60 Sybils of 6 subnets that say nothing"];
    for (name, silent) in names.into_iter().zip([false, true]) {
        let (places, _, searches) = lost(&format!("a fifth lies, {name}"), Trouble { silent, ..lying });
        assert!(permille(places, searches * PLACES) <= 10, "{places}");
    }
}

#[test]
fn who_has_a_subnet_for_each_sybil_hides_places_but_no_listing() {
    let lying = Trouble { lying: true, sybil_subnets: 60, ..Trouble::default() };
    let names = ["60 Sybils of 60 subnets around each key", "60 Sybils of 60 subnets that make up others"];
    for (name, making_up) in names.into_iter().zip([false, true]) {
        let (_, listings, searches) = lost(&format!("a fifth lies, {name}"), Trouble { making_up, ..lying });
        assert!(permille(listings, searches) <= 10, "{listings}");
    }
}
