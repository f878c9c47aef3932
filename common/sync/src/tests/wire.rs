//! Golden bytes and round trips of every message, and what hostile bytes meet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, Hash, LogId},
    limit::{ENTRY_MAX_BYTES, MESSAGE_MAX_BYTES},
    record::{Record, RecordError},
};
use proptest::{collection, prelude::*};

use crate::{
    config::{BATCH_MAX_BYTES, CHANNELS_MAX, HEADS_MAX, LOAD_RANGES_MAX, WANTS_MAX},
    message::{Frame, Hello, Interest, Mark, Message, Roots, Run, Span, StopReason, Told},
};

const CHANNEL: ChannelId = ChannelId::from_bytes([1; 32]);
const LOG: LogId = LogId::from_bytes([2; 32]);
const ROOT: Hash = Hash::from_bytes([3; 32]);

/// One sample of each message, and of each shape within it.
fn samples() -> Vec<Message> {
    let head = Head { seq: 7, entry: EntryId::from_bytes([4; 32]) };
    let heads = BTreeMap::from([(CHANNEL, BTreeMap::from([(LOG, head)]))]);
    let hello = |interest| {
        Message::Hello(Hello { interest, window_bytes: 2_097_152, roots: BTreeMap::from([(CHANNEL, ROOT)]) })
    };
    let frames = vec![Frame::from(vec![5; 3]), Frame::from(vec![6; 2])];
    vec![
        hello(Interest::All),
        hello(Interest::Only(BTreeSet::from([CHANNEL]))),
        Message::Heads(Told { heads, taken_bytes: 0 }),
        Message::Heads(Told { heads: BTreeMap::new(), taken_bytes: 1000 }),
        Message::Want(BTreeMap::from([(LOG, Span { from: 3, to: 300 })])),
        Message::Entries(vec![Run { channel: CHANNEL, log: LOG, from: 24, frames }]),
        Message::Mark(Mark { round: 0 }),
        Message::Root(Roots { round: 1, roots: BTreeMap::from([(CHANNEL, ROOT)]) }),
        Message::Stop(StopReason::Closing),
        Message::Stop(StopReason::Refused),
        Message::Stop(StopReason::Unable),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// One line of hexadecimal per sample, compared in both directions. `COSMIC_GOLDEN=write` writes the file anew.
#[test]
fn golden_bytes_of_version_1() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "golden", "message.v1.hex"].iter().collect();
    let written: String = samples().iter().map(|sample| hex(&sample.to_bytes()) + "\n").collect();
    if std::env::var("COSMIC_GOLDEN").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &written).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, stored, "{} differs from what this build writes", path.display());
    let read: Vec<Message> = stored.lines().map(|line| Message::from_bytes(&unhex(line)).unwrap()).collect();
    assert_eq!(read, samples());
}

#[test]
fn the_largest_messages_fit() {
    let id = |number: usize| {
        let mut bytes = [0xff; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let channel = |number| ChannelId::from_bytes(id(number));
    let roots: BTreeMap<ChannelId, Hash> = (0..CHANNELS_MAX).map(|number| (channel(number), ROOT)).collect();
    let interest = Interest::Only(roots.keys().copied().collect());
    let head = Head { seq: u64::MAX, entry: EntryId::from_bytes([0xff; 32]) };
    // The worst case of heads: every head in a channel of its own.
    let heads = (0..HEADS_MAX).map(|number| {
        let log = LogId::from_bytes(id(number));
        (channel(number % CHANNELS_MAX), (log, head))
    });
    let mut by_channel: BTreeMap<ChannelId, BTreeMap<LogId, Head>> = BTreeMap::new();
    heads.for_each(|(channel, (log, head))| {
        by_channel.entry(channel).or_default().insert(log, head);
    });
    let span = Span { from: u64::MAX - 1, to: u64::MAX };
    let run = |number, bytes| Run {
        channel: channel(number),
        log: LogId::from_bytes(id(number)),
        from: u64::MAX,
        frames: vec![Frame::from(vec![0; bytes])],
    };
    let short = BATCH_MAX_BYTES / LOAD_RANGES_MAX;
    for message in [
        Message::Hello(Hello { interest, window_bytes: u64::MAX, roots: roots.clone() }),
        Message::Root(Roots { round: u64::MAX, roots }),
        Message::Heads(Told { heads: by_channel, taken_bytes: u64::MAX }),
        Message::Want((0..WANTS_MAX).map(|number| (LogId::from_bytes(id(number)), span)).collect()),
        Message::Entries((0..LOAD_RANGES_MAX).map(|number| run(number, short)).collect()),
        Message::Entries(vec![run(0, ENTRY_MAX_BYTES)]),
    ] {
        let length = message.to_bytes().len();
        assert!(length + 1024 <= MESSAGE_MAX_BYTES, "{length} bytes leave no room for an envelope");
    }
}

#[test]
fn unsorted_maps_and_unknown_messages_are_refused() {
    let two = Message::Root(Roots {
        round: 0,
        roots: BTreeMap::from([(CHANNEL, ROOT), (ChannelId::from_bytes([9; 32]), ROOT)]),
    });
    let mut bytes = two.to_bytes();
    let pair = bytes.len() - 2 * 68;
    bytes[pair..].rotate_left(68);
    assert!(matches!(Message::from_bytes(&bytes), Err(RecordError::NotCanonical { .. })));
    let unknown = [0xa2, 0x00, 0x01, 0x01, 0x82, 0x07, 0x80];
    assert!(matches!(Message::from_bytes(&unknown), Err(RecordError::Malformed { .. })));
}

pub(super) fn any_message() -> impl Strategy<Value = Message> {
    let channel = prop_oneof![
        9 => (0_u8..4).prop_map(|number| ChannelId::from_bytes([number; 32])),
        1 => Just(crate::sim::replica::MEMBERSHIP),
    ];
    let log = (0_u8..4, 0_u8..3).prop_map(|(number, writer)| {
        crate::sim::replica::log_of(&ChannelId::from_bytes([number; 32]), writer)
    });
    let number = prop_oneof![8 => 0_u64..12, 1 => Just(u64::MAX), 1 => any::<u64>()];
    let hash = any::<[u8; 32]>();
    let head =
        (number.clone(), hash).prop_map(|(seq, entry)| Head { seq, entry: EntryId::from_bytes(entry) });
    let heads = collection::btree_map(channel.clone(), collection::btree_map(log.clone(), head, 0..4), 0..3);
    let roots = collection::btree_map(channel.clone(), hash.prop_map(Hash::from_bytes), 0..4);
    let interest = prop_oneof![
        Just(Interest::All),
        collection::btree_set(channel.clone(), 0..4).prop_map(Interest::Only)
    ];
    let frame = prop_oneof![collection::vec(any::<u8>(), 60..70), collection::vec(any::<u8>(), 140..150)];
    let run = (channel, log.clone(), number.clone(), collection::vec(frame.prop_map(Frame::from), 0..3))
        .prop_map(|(channel, log, from, frames)| Run { channel, log, from, frames });
    let span = (number.clone(), number.clone()).prop_map(|(from, to)| Span { from, to });
    prop_oneof![
        (interest, number.clone(), roots.clone()).prop_map(|(interest, window_bytes, roots)| {
            Message::Hello(Hello { interest, window_bytes, roots })
        }),
        (heads, number.clone()).prop_map(|(heads, taken_bytes)| Message::Heads(Told { heads, taken_bytes })),
        collection::btree_map(log, span, 0..4).prop_map(Message::Want),
        collection::vec(run, 0..3).prop_map(Message::Entries),
        number.clone().prop_map(|round| Message::Mark(Mark { round })),
        (number, roots).prop_map(|(round, roots)| Message::Root(Roots { round, roots })),
        Just(Message::Stop(StopReason::Closing)),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        prop_assert_eq!(Message::from_bytes(&message.to_bytes()).unwrap(), message);
    }

    #[test]
    fn no_bytes_panic(bytes in collection::vec(any::<u8>(), 0..200), message in any_message(), at: usize, flip: u8) {
        let _random = Message::from_bytes(&bytes);
        let mut changed = message.to_bytes();
        let at = at % changed.len();
        changed[at] ^= flip;
        if let Ok(read) = Message::from_bytes(&changed) {
            prop_assert!(changed.len() >= read.to_bytes().len());
        }
    }
}
