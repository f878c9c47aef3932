//! The world: nodes with durable replicas, links with two sessions each, and one die that decides.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::AddAssign,
};

use cosmic_common::{
    heads::Heads,
    id::{ChannelId, Hash},
    record::Record,
    time::Timestamp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    liar::tamper,
    replica::{MEMBERSHIP, Replica, channel, log_of},
};
use crate::{
    config::Config,
    door::{End, Growth, Input, Output, Report, Summary, Timer},
    message::{Interest, Message},
    session::Session,
};

/// What kind of world, and for how long it rages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) steps: usize,
    /// The last node lies.
    pub(super) liar: bool,
    /// Nodes want different channels.
    pub(super) narrow: bool,
}

pub(super) struct World {
    rng: ChaCha8Rng,
    plan: Plan,
    now_ms: u64,
    nodes: Vec<Node>,
    links: Vec<Link>,
    pub(super) seen: Seen,
}

/// What a run has exercised, so that a test can tell that it tests something.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) waits: u64,
    pub(super) identified: u64,
    pub(super) later_rounds: u64,
    pub(super) refused: u64,
    pub(super) crashes: u64,
}

impl AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.waits += other.waits;
        self.identified += other.identified;
        self.later_rounds += other.later_rounds;
        self.refused += other.refused;
        self.crashes += other.crashes;
    }
}

struct Node {
    replica: Replica,
    interest: Interest,
    config: Config,
}

/// A pair of nodes, with two ends while it is up.
struct Link {
    nodes: [usize; 2],
    ends: Option<[Side; 2]>,
}

/// One end: a session and its driver.
struct Side {
    session: Session,
    /// Messages on their way to this end.
    incoming: VecDeque<Vec<u8>>,
    /// What the driver has to do.
    jobs: VecDeque<Output>,
    /// What the driver has to tell the session, in any order.
    inputs: Vec<Input>,
    timers: BTreeMap<Timer, u64>,
    equal: BTreeMap<u64, Hash>,
    last: Option<Report>,
    ended: Option<End>,
}

/// Something that can happen now, at an end of a link.
#[derive(Debug, Clone, Copy)]
enum Event {
    Deliver,
    Job,
    Tell,
    Fire(Timer),
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut nodes: Vec<Node> = (0..plan.nodes).map(|_| Node::new(&mut rng, plan.narrow)).collect();
        let founder = nodes.first_mut().unwrap();
        founder.replica.append(MEMBERSHIP, 0, None, 50);
        if rng.random_bool(0.5) {
            let copy = founder.replica.clone();
            nodes.iter_mut().for_each(|node| node.replica = copy.clone());
        }
        let pairs = (0..plan.nodes).flat_map(|a| (0..a).map(move |b| [b, a]));
        let links = pairs.map(|nodes| Link { nodes, ends: None }).collect();
        Self { rng, plan, now_ms: 1, nodes, links, seen: Seen::default() }
    }

    fn lies(&self, node: usize) -> bool {
        self.plan.liar && node + 1 == self.plan.nodes
    }

    /// Writes, breaks, crashes and mends, for as long as planned.
    pub(super) fn rage(&mut self) {
        for _ in 0..self.plan.steps {
            match self.rng.random_range(0..100) {
                0..8 => self.write(),
                8..11 => self.connect_some(),
                11 => {
                    let link = self.rng.random_range(0..self.links.len());
                    self.cut(link);
                }
                12 if self.rng.random_bool(0.3) => self.crash(),
                _ => {
                    self.happen();
                }
            }
        }
    }

    /// No more trouble: honest nodes connect to each other and talk until nothing is left to say.
    pub(super) fn calm_down(&mut self) {
        for link in 0..self.links.len() {
            let honest = !self.links[link].nodes.iter().any(|node| self.lies(*node));
            if honest { self.connect(link) } else { self.cut(link) }
        }
        let bound = 2_000_000;
        for _ in 0..bound {
            if !self.happen() && !self.skip_to_next_timer() {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    pub(super) fn assert_converged(&mut self) {
        self.seen.waits = self.nodes.iter().map(|node| node.replica.waits).sum();
        for link in self.links.iter().filter(|link| !link.nodes.iter().any(|node| self.lies(*node))) {
            let [a, b] = link.ends.as_ref().expect("honest nodes stay connected");
            let (Some(Report::Equal { root: left, .. }), Some(Report::Equal { root: right, .. })) =
                (&a.last, &b.last)
            else {
                panic!("nodes {:?} end with {:?} and {:?}", link.nodes, a.last, b.last)
            };
            assert_eq!(left, right, "equal roots of {:?}", link.nodes);
            let [left, right] = link.nodes.map(|node| self.held(node, link.nodes));
            assert_eq!(left, right, "what {:?} hold", link.nodes);
            let status = a.session.status();
            assert_eq!((status.missing_here, status.missing_there), (0, 0));
        }
    }

    /// What `node` holds of the channels both of `pair` want.
    fn held(&self, node: usize, pair: [usize; 2]) -> BTreeMap<ChannelId, Heads> {
        let mut channels = self.nodes[node].replica.channels();
        channels.retain(|channel, _| {
            *channel == MEMBERSHIP || pair.iter().all(|node| self.nodes[*node].interest.has(channel))
        });
        channels
    }

    /// One thing that can happen happens; `false` if nothing can.
    fn happen(&mut self) -> bool {
        self.now_ms += self.rng.random_range(0..4);
        self.drop_ended();
        let mut possible = Vec::new();
        for (link, ends) in self.links.iter().enumerate() {
            for (end, side) in ends.ends.iter().flatten().enumerate() {
                possible.extend(side.possible(self.now_ms).map(|event| (link, end, event)));
            }
        }
        if possible.is_empty() {
            return false;
        }
        let (link, end, event) = possible[self.rng.random_range(0..possible.len())];
        match event {
            Event::Deliver => {
                let bytes = self.side(link, end).incoming.pop_front().unwrap();
                let input = Message::from_bytes(&bytes).map_or(Input::Malformed, Input::Received);
                self.put(link, end, input);
            }
            Event::Tell => {
                let waiting = self.side(link, end).inputs.len();
                let at = self.rng.random_range(0..waiting);
                let input = self.side(link, end).inputs.remove(at);
                self.put(link, end, input);
            }
            Event::Fire(timer) => {
                self.side(link, end).timers.remove(&timer);
                self.put(link, end, Input::Fired(timer));
            }
            Event::Job => self.work(link, end),
        }
        true
    }

    fn skip_to_next_timer(&mut self) -> bool {
        let sides = self.links.iter().flat_map(|link| link.ends.iter().flatten());
        let next = sides.flat_map(|side| side.timers.values()).min();
        self.now_ms = next.copied().unwrap_or(self.now_ms).max(self.now_ms);
        next.is_some()
    }

    fn side(&mut self, link: usize, end: usize) -> &mut Side {
        &mut self.links[link].ends.as_mut().unwrap()[end]
    }

    /// The driver does one of its jobs; stores take effect in their order, everything else in any.
    fn work(&mut self, link: usize, end: usize) {
        let node = self.links[link].nodes[end];
        let jobs = self.side(link, end).jobs.len();
        let mut at = self.rng.random_range(0..jobs);
        let is_store = |job: &Output| matches!(job, Output::Store { .. });
        let side = self.side(link, end);
        if is_store(&side.jobs[at]) {
            at = side.jobs.iter().position(is_store).unwrap();
        }
        let job = side.jobs.remove(at).unwrap();
        let replica = &mut self.nodes[node].replica;
        let input = match job {
            Output::Load { ticket, ranges, max_bytes } => {
                Input::Loaded(ticket, replica.load(&ranges, max_bytes))
            }
            Output::Identify { ticket, places } => {
                self.seen.identified += 1;
                Input::Identified(ticket, replica.identify(&places))
            }
            Output::Store { ticket, runs } => match replica.store(&runs) {
                Ok((outcomes, growths)) => {
                    growths.into_iter().for_each(|growth| self.grow(node, &growth));
                    Input::Stored(ticket, outcomes)
                }
                Err(failure) => Input::StoreFailed(ticket, failure),
            },
            other => unreachable!("{other:?} is no job"),
        };
        self.side(link, end).inputs.push(input);
    }

    /// All sessions of a node hear that a log has grown, the one it came through as well.
    fn grow(&mut self, node: usize, growth: &Growth) {
        for link in &mut self.links {
            let ends = link.ends.iter_mut().flatten().zip(link.nodes);
            for (side, _) in ends.filter(|(_, at)| *at == node) {
                let mut growth = growth.clone();
                if self.rng.random_bool(0.1) {
                    growth.frames.clear();
                }
                side.inputs.push(Input::Grown(growth));
            }
        }
    }

    fn put(&mut self, link: usize, end: usize, input: Input) {
        let now = Timestamp::from_unix_ms(self.now_ms);
        let outputs = self.side(link, end).session.handle(input, now);
        self.perform(link, end, outputs);
    }

    fn perform(&mut self, link: usize, end: usize, outputs: Vec<Output>) {
        let nodes = self.links[link].nodes;
        let (lies, liar_near) = (self.lies(nodes[end]), nodes.iter().any(|node| self.lies(*node)));
        for output in outputs {
            match output {
                Output::Send(message) => {
                    let tampers = lies && self.rng.random_bool(0.05);
                    let messages = if tampers { tamper(message, &mut self.rng) } else { vec![message] };
                    let bytes = messages.iter().map(Message::to_bytes);
                    self.side(link, 1 - end).incoming.extend(bytes);
                }
                Output::Arm { timer, after } => {
                    let at = self.now_ms + u64::try_from(after.as_millis()).unwrap();
                    self.side(link, end).timers.insert(timer, at);
                }
                Output::Report(report) => self.note(link, end, report, liar_near),
                job => self.side(link, end).jobs.push_back(job),
            }
        }
    }

    fn note(&mut self, link: usize, end: usize, report: Report, liar_near: bool) {
        if let Report::Equal { round, root } = report {
            self.seen.later_rounds += u64::from(round > 0);
            self.side(link, end).equal.insert(round, root);
            let other = self.side(link, 1 - end).equal.get(&round).copied();
            assert!(
                liar_near || other.is_none_or(|other| other == root),
                "round {round} is equal at two roots"
            );
        }
        if let Report::Ended(end_of_it) = &report {
            let honest = matches!(end_of_it, End::Gone | End::Stopped(_));
            assert!(honest || liar_near, "an honest session ends with {end_of_it:?}");
            self.seen.refused += u64::from(matches!(end_of_it, End::Refused(_)));
            self.side(link, end).ended = Some(end_of_it.clone());
        }
        if matches!(report, Report::Differ { .. } | Report::Forked { .. }) {
            assert!(liar_near, "{report:?} between honest nodes");
        }
        self.side(link, end).last = Some(report);
    }

    fn write(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        let writer = u8::try_from(node).unwrap();
        let interest = self.nodes[node].interest.clone();
        let channels = (1..4).map(channel).filter(|channel| interest.has(channel));
        let channels: Vec<_> =
            std::iter::once(MEMBERSHIP).chain(channels.flat_map(|channel| [channel; 3])).collect();
        let target = channels[self.rng.random_range(0..channels.len())];
        let other = u8::try_from(self.rng.random_range(0..self.nodes.len())).unwrap();
        let needs = self.rng.random_bool(0.6).then(|| log_of(&MEMBERSHIP, other));
        for _ in 0..self.rng.random_range(1..6) {
            let fill = self.rng.random_range(0..400);
            let growth = self.nodes[node].replica.append(target, writer, needs, fill);
            self.grow(node, &growth);
        }
    }

    fn connect_some(&mut self) {
        let link = self.rng.random_range(0..self.links.len());
        self.connect(link);
    }

    fn connect(&mut self, link: usize) {
        if self.links[link].ends.is_some() {
            return;
        }
        let now = Timestamp::from_unix_ms(self.now_ms);
        let open = |node: usize| {
            let Node { replica, interest, config } = &self.nodes[node];
            Side::open(*config, replica.summary(interest.clone()), now)
        };
        let [(left, first), (right, second)] = self.links[link].nodes.map(open);
        self.links[link].ends = Some([left, right]);
        self.perform(link, 0, first);
        self.perform(link, 1, second);
    }

    /// The stream breaks: what is on its way is lost, and so is what drivers have not done.
    fn cut(&mut self, link: usize) {
        self.links[link].ends = None;
    }

    /// A node loses power. What is stored stays.
    fn crash(&mut self) {
        let node = self.rng.random_range(0..self.nodes.len());
        self.seen.crashes += 1;
        for link in 0..self.links.len() {
            if self.links[link].nodes.contains(&node) {
                self.cut(link);
            }
        }
    }

    fn drop_ended(&mut self) {
        for link in &mut self.links {
            let over = link.ends.iter().flatten().any(|side| side.ended.is_some());
            if over {
                link.ends = None;
            }
        }
    }
}

impl Node {
    fn new(rng: &mut ChaCha8Rng, narrow: bool) -> Self {
        let some = BTreeSet::from_iter((1..4).map(channel).filter(|_| rng.random_bool(0.6)));
        let interest = if narrow && rng.random_bool(0.7) { Interest::Only(some) } else { Interest::All };
        let config = Config {
            batch_bytes: rng.random_range(200..3_000),
            window_bytes: rng.random_range(100..10_000),
            ..Config::default()
        };
        Self { replica: Replica::default(), interest, config }
    }
}

impl Side {
    fn open(config: Config, summary: Summary, now: Timestamp) -> (Self, Vec<Output>) {
        let (session, outputs) = Session::open(config, summary, now).unwrap();
        let side = Self {
            session,
            incoming: VecDeque::new(),
            jobs: VecDeque::new(),
            inputs: Vec::new(),
            timers: BTreeMap::new(),
            equal: BTreeMap::new(),
            last: None,
            ended: None,
        };
        (side, outputs)
    }

    fn possible(&self, now_ms: u64) -> impl Iterator<Item = Event> {
        let due =
            self.timers.iter().filter(move |(_, at)| **at <= now_ms).map(|(timer, _)| Event::Fire(*timer));
        let deliver = (!self.incoming.is_empty()).then_some(Event::Deliver);
        let job = (!self.jobs.is_empty()).then_some(Event::Job);
        let tell = (!self.inputs.is_empty()).then_some(Event::Tell);
        due.chain(deliver).chain(job).chain(tell)
    }
}
