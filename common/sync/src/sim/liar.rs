//! A peer that lies: it changes, repeats and swallows what its session says.

use cosmic_common::{
    heads::Head,
    id::{EntryId, Hash},
};
use rand::{Rng, RngExt};

use crate::{
    message::{Frame, Mark, Message, Span},
    sim::replica::{channel, log_of},
};

/// What goes out instead of `message`.
pub(crate) fn tamper(message: Message, rng: &mut impl Rng) -> Vec<Message> {
    match rng.random_range(0..12) {
        0 => Vec::new(),
        1 => vec![message.clone(), message],
        _ => vec![twist(message, rng)],
    }
}

fn twist(message: Message, rng: &mut impl Rng) -> Message {
    match message {
        Message::Hello(mut hello) => {
            let root = Hash::from_bytes(rng.random());
            hello.roots.insert(channel(rng.random_range(1..6)), root);
            Message::Hello(hello)
        }
        Message::Heads(mut told) => {
            let heads = told.heads.entry(channel(rng.random_range(1..4))).or_default();
            match rng.random_range(0..3) {
                0 => told.taken_bytes = told.taken_bytes.wrapping_add(rng.random_range(0..500)),
                1 => {
                    let log = log_of(&channel(rng.random_range(1..4)), rng.random_range(0..6));
                    let head =
                        Head { seq: rng.random_range(0..60), entry: EntryId::from_bytes(rng.random()) };
                    heads.insert(log, head);
                }
                _ => heads.values_mut().for_each(|head| head.seq = head.seq.wrapping_add(rng.random())),
            }
            Message::Heads(told)
        }
        Message::Want(mut wants) => {
            for span in wants.values_mut() {
                *span = Span { from: span.from, to: span.to.wrapping_add(rng.random_range(0..5)) };
            }
            Message::Want(wants)
        }
        Message::Entries(mut runs) => {
            if let Some(run) = runs.first_mut() {
                match rng.random_range(0..5) {
                    0 => run.from = run.from.wrapping_add(rng.random_range(1..4)),
                    1 => run.from = run.from.wrapping_sub(1),
                    2 => run.frames.reverse(),
                    3 => run.frames.clear(),
                    _ => {
                        let mut bytes = run.frames.first().map_or(Vec::new(), |frame| frame.to_vec());
                        let at = rng.random_range(0..bytes.len().max(1));
                        bytes.get_mut(at..=at).into_iter().flatten().for_each(|byte| *byte ^= 1);
                        run.frames = vec![Frame::from(bytes)];
                    }
                }
            }
            Message::Entries(runs)
        }
        Message::Mark(mark) => Message::Mark(Mark { round: mark.round ^ 1 }),
        Message::Root(mut roots) => {
            roots.roots.values_mut().for_each(|root| *root = Hash::from_bytes(rng.random()));
            Message::Root(roots)
        }
        Message::Stop(reason) => Message::Stop(reason),
    }
}
