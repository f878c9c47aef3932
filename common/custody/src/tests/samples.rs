//! One sample of every shape of every format; the golden files are made of these.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    heads::Head,
    id::{ChannelId, EntryId, Hash, Incarnation, LogId, ObjectId, OperatorId, PeerId, SpaceId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_identity::key::SecretKey;

use crate::{
    Duty,
    audit::{
        evidence::{Evidence, Finding},
        proof::Challenge,
    },
    message::{
        bulk::BulkLength,
        care::{CareAnswer, CareRequest, Claim, RemovalProgress, Surveyed},
        meeting::{MeetingAnswer, MeetingRequest, Seat},
        object::{ObjectAnswer, ObjectRequest, Whereabouts},
        refusal::{Refusal, RefusalCode},
        replica::{LogPlace, ReplicaAnswer, ReplicaCall, ReplicaReply, ReplicaRequest, SpaceHeads, Stopped},
        shard::{ShardAnswer, ShardRequest},
        space::{SessionId, SpaceFrame},
        turn::{TurnAnswer, TurnRequest},
    },
    pack::{Packed, tail::Tail},
    placement::{Holding, Placement},
    quota::{Quota, Usage},
    receipt::{Held, Promise, Receipt},
    removal::{Deletion, Doom, Heard, Removal},
    repair::lease::Lease,
};

pub(super) const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);
pub(super) const CHANNEL: ChannelId = ChannelId::from_bytes([2; 32]);
pub(super) const LOG: LogId = LogId::from_bytes([3; 32]);
pub(super) const OBJECT: ObjectId = ObjectId::from_bytes([5; 32]);
pub(super) const LIFE: Incarnation = Incarnation::from_bytes([6; 16]);
pub(super) const SESSION: SessionId = SessionId([7; 16]);

pub(super) fn head(seq: u64) -> Head {
    Head { seq, entry: EntryId::from_bytes([4; 32]) }
}

/// A supernode's key for tests.
pub(super) fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

pub(super) fn peer(number: u8) -> PeerId {
    key(number).peer_id()
}

fn refusal() -> Refusal {
    Refusal::new(RefusalCode::Busy, "64 uploads are under way here; try again in a second")
}

pub(super) fn heads() -> SpaceHeads {
    BTreeMap::from([(CHANNEL, BTreeMap::from([(LOG, head(9))]))])
}

pub(super) fn held() -> [Held; 3] {
    [
        Held::Log { space: SPACE, log: LOG, head: head(9) },
        Held::Shard { object: OBJECT, index: 4, hash: Hash::from_bytes([8; 32]) },
        Held::Object { object: OBJECT },
    ]
}

pub(super) fn receipts() -> Vec<Receipt> {
    held()
        .into_iter()
        .zip([Promise::Forwards, Promise::Keeps, Promise::Keeps])
        .map(|(held, promise)| Receipt {
            held,
            promise,
            holder: peer(1),
            incarnation: LIFE,
            ring: Hash::from_bytes([9; 32]),
            time: Timestamp::from_unix_ms(1_760_000_000_000),
        })
        .collect()
}

pub(super) fn quotas() -> Vec<Quota> {
    vec![Quota::default()]
}

pub(super) fn usages() -> Vec<Usage> {
    vec![Usage { entries: 3, entry_bytes: 1_800, shards: 2, shard_bytes: 2_796_204 }]
}

pub(super) fn placements() -> Vec<Placement> {
    let holding = |number| Holding { peer: peer(number), incarnation: LIFE };
    vec![Placement {
        object: OBJECT,
        ring: Hash::from_bytes([9; 32]),
        time: Timestamp::from_unix_ms(1_760_000_000_000),
        holders: BTreeMap::from([(0, holding(1)), (5, holding(2))]),
    }]
}

pub(super) fn packed() -> Packed {
    Packed { log: LOG, from: 3, to: 9, object: OBJECT }
}

pub(super) fn tails() -> Vec<Tail> {
    let since = Timestamp::from_unix_ms(1_760_000_000_000);
    vec![Tail {
        from: 3,
        entries: 7,
        bytes: 70_000,
        since,
        grown: Timestamp::from_unix_ms(1_760_000_600_000),
    }]
}

pub(super) fn space_frames() -> Vec<SpaceFrame> {
    vec![
        SpaceFrame::Challenge { nonce: [10; 32], work_bits: None },
        SpaceFrame::Challenge { nonce: [10; 32], work_bits: Some(17) },
        SpaceFrame::Open {
            space: SPACE,
            proof: vec![1, 2, 3],
            credentials: vec![vec![4, 5], vec![6]],
            answer: None,
        },
        SpaceFrame::Open {
            space: SPACE,
            proof: vec![1, 2, 3],
            credentials: Vec::new(),
            answer: Some(131_072),
        },
        SpaceFrame::Opened { session: SESSION, incarnation: LIFE, source: peer(1) },
        SpaceFrame::Sync(vec![1, 2, 3]),
        SpaceFrame::Receipts(vec![vec![1], vec![2, 3]]),
        SpaceFrame::Refused(refusal()),
        SpaceFrame::Attest(vec![LOG]),
        SpaceFrame::Pack { log: LOG, seq: 9 },
        SpaceFrame::Packed {
            packed: packed(),
            whereabouts: Whereabouts { manifest: vec![1, 2, 3], receipts: vec![vec![4]] },
        },
    ]
}

pub(super) fn replica_calls() -> Vec<ReplicaCall> {
    let requests = vec![
        ReplicaRequest::Append { space: SPACE, entries: vec![vec![1], vec![2, 3]] },
        ReplicaRequest::Heads { space: SPACE, after: None },
        ReplicaRequest::Heads { space: SPACE, after: Some(LogPlace { channel: CHANNEL, log: LOG }) },
        ReplicaRequest::Range { space: SPACE, log: LOG, from: 3, to: 400, max_bytes: 1_000_000 },
        ReplicaRequest::Membership { space: SPACE, known: BTreeMap::from([(LOG, head(2))]) },
        ReplicaRequest::Attest { space: SPACE, logs: vec![LOG] },
        ReplicaRequest::Subscribe { space: SPACE },
        ReplicaRequest::Unsubscribe { subscription: 6 },
        ReplicaRequest::Spaces { from: SPACE, to: SpaceId::from_bytes([2; 32]) },
        ReplicaRequest::Note { space: SPACE, packs: vec![packed()] },
        ReplicaRequest::Packs { space: SPACE, log: LOG, from: 3 },
        ReplicaRequest::Pack { space: SPACE, log: LOG, seq: 9 },
        ReplicaRequest::Introduce { genesis: vec![1, 2] },
        ReplicaRequest::Genesis { space: SPACE },
    ];
    requests.into_iter().zip(1..).map(|(request, id)| ReplicaCall { id, request }).collect()
}

pub(super) fn replica_replies() -> Vec<ReplicaReply> {
    let answers = vec![
        ReplicaAnswer::Appended {
            receipts: vec![vec![1, 2]],
            stopped: vec![Stopped { index: 7, refusal: refusal() }],
        },
        ReplicaAnswer::Heads { heads: heads(), more: true },
        ReplicaAnswer::Entries { entries: vec![vec![1, 2]], more: false },
        ReplicaAnswer::Receipts(vec![vec![1, 2]]),
        ReplicaAnswer::Subscribed,
        ReplicaAnswer::Pushed(vec![vec![1, 2]]),
        ReplicaAnswer::Ended,
        ReplicaAnswer::Spaces { digests: BTreeMap::from([(SPACE, Hash::from_bytes([8; 32]))]), more: false },
        ReplicaAnswer::Refused(refusal()),
        ReplicaAnswer::Packs(vec![packed()]),
        ReplicaAnswer::Genesis(Some(vec![1, 2])),
        ReplicaAnswer::Genesis(None),
    ];
    answers.into_iter().zip(1..).map(|(answer, id)| ReplicaReply { id, answer }).collect()
}

pub(super) fn object_requests() -> Vec<ObjectRequest> {
    let (session, object) = (SESSION, OBJECT);
    vec![
        ObjectRequest::Put { session, object, length: BulkLength::new(4_194_304).unwrap() },
        ObjectRequest::Get { session, object },
        ObjectRequest::Status { session, object },
        ObjectRequest::Have { session, objects: vec![OBJECT] },
        ObjectRequest::Removals { session, objects: vec![OBJECT] },
    ]
}

pub(super) fn object_answers() -> Vec<ObjectAnswer> {
    vec![
        ObjectAnswer::Send,
        ObjectAnswer::Stored(Whereabouts { manifest: vec![1, 2, 3], receipts: vec![vec![4]] }),
        ObjectAnswer::Follows { length: BulkLength::new(1).unwrap() },
        ObjectAnswer::Had(vec![OBJECT]),
        ObjectAnswer::Refused(refusal()),
        ObjectAnswer::Removals(removals_under_way()),
    ]
}

pub(super) fn meeting_requests() -> Vec<MeetingRequest> {
    let (seat, card) = (Seat([7; 16]), vec![1, 2, 3]);
    vec![
        MeetingRequest::Meet { session: SessionId([9; 16]), seat, card: card.clone() },
        MeetingRequest::Note { space: SPACE, seat, card },
    ]
}

pub(super) fn meeting_answers() -> Vec<MeetingAnswer> {
    vec![MeetingAnswer::Cards(vec![vec![1], vec![2, 3]]), MeetingAnswer::Refused(refusal())]
}

pub(super) fn turn_requests() -> Vec<TurnRequest> {
    vec![TurnRequest::Credential { session: SessionId([9; 16]) }]
}

pub(super) fn turn_answers() -> Vec<TurnAnswer> {
    let credential = TurnAnswer::Credential {
        urls: vec!["turn:203.0.113.7:3478?transport=udp".to_owned(), "stun:203.0.113.7:3478".to_owned()],
        username: "1700000000:mfrggzdfmztwq2lk".to_owned(),
        password: "c2VjcmV0".to_owned(),
        expires: Timestamp::from_unix_ms(1_700_000_000_000),
    };
    vec![credential, TurnAnswer::Refused(refusal())]
}

pub(super) fn shard_requests() -> Vec<ShardRequest> {
    let length = BulkLength::new(1_398_102).unwrap();
    let put = |owner, genesis, sponsor| ShardRequest::Put {
        space: SPACE,
        manifest: vec![1, 2],
        index: 3,
        owner,
        length,
        genesis,
        sponsor,
    };
    let mut requests = vec![
        put(None, None, None),
        put(Some(peer(2)), None, None),
        ShardRequest::Get { object: OBJECT, index: 3 },
        ShardRequest::Which { object: OBJECT },
        ShardRequest::GetPlacement { object: OBJECT },
    ];
    requests.extend(placements().into_iter().map(ShardRequest::PutPlacement));
    requests.push(put(None, Some(vec![4, 5]), None));
    requests.push(put(None, None, Some(OperatorId::from_bytes([6; 32]))));
    requests
}

pub(super) fn shard_answers() -> Vec<ShardAnswer> {
    let length = BulkLength::new(1_398_102).unwrap();
    let mut answers = vec![
        ShardAnswer::Kept { receipt: vec![1, 2, 3] },
        ShardAnswer::Follows { manifest: vec![1, 2], length },
        ShardAnswer::Held {
            manifest: vec![1, 2],
            indices: [0, 5].into_iter().collect(),
            receipts: vec![vec![1], vec![2]],
        },
        ShardAnswer::Placement(None),
        ShardAnswer::Refused(refusal()),
    ];
    answers.extend(placements().into_iter().map(|placement| ShardAnswer::Placement(Some(placement))));
    answers
}

pub(super) fn care_requests() -> Vec<CareRequest> {
    vec![
        CareRequest::Survey(vec![OBJECT]),
        CareRequest::Keep { object: OBJECT, index: 3 },
        CareRequest::Challenge(Challenge { object: OBJECT, index: 3, groups: vec![0, 17, 85] }),
        CareRequest::Lease { object: OBJECT },
        CareRequest::EndLease { object: OBJECT },
        CareRequest::Remove(vec![vec![1], vec![2, 3]]),
        CareRequest::Report(vec![vec![1], vec![2, 3]]),
        CareRequest::Claims { space: SPACE, objects: vec![OBJECT], overdue: true },
        CareRequest::Removals { space: SPACE, objects: vec![OBJECT] },
    ]
}

pub(super) fn care_answers() -> Vec<CareAnswer> {
    let until = Timestamp::from_unix_ms(1_760_000_600_000);
    vec![
        CareAnswer::Surveyed(vec![
            Surveyed { own: [0, 5].into_iter().collect(), handed_off: [7].into_iter().collect() },
            Surveyed::default(),
        ]),
        CareAnswer::Kept { receipt: vec![1, 2, 3] },
        CareAnswer::Proof(vec![1, 2, 3]),
        CareAnswer::Leased(None),
        CareAnswer::Leased(Some(Lease { peer: peer(1), until })),
        CareAnswer::Noted,
        CareAnswer::Removing(vec![vec![1], vec![2, 3]]),
        CareAnswer::Refused(refusal()),
        CareAnswer::Claimed(vec![Claim::None, Claim::Claimed, Claim::Removing]),
        CareAnswer::Removals(removals_under_way()),
    ]
}

fn removals_under_way() -> Vec<RemovalProgress> {
    let under_way =
        RemovalProgress { under_way: true, keeping: 2, silent: 1, deletions: vec![vec![1], vec![2, 3]] };
    vec![under_way, RemovalProgress::default()]
}

/// Removed by nobody, by one replica, and by as many as there can be.
pub(super) fn dooms() -> Vec<Doom> {
    let now = Timestamp::from_unix_ms(1_760_172_800_000);
    let heard = |replicas: u8| {
        let mut doom = Doom::default();
        let duty = Duty { current: (1..=3).map(peer).collect(), earlier: (4..=12).map(peer).collect() };
        for replica in 1..=replicas {
            let removal = Removal { replica: peer(replica), time: now, ..removals().remove(0) };
            let put = Timestamp::from_unix_ms(1);
            let operator = |_: &PeerId| None;
            doom.insert(
                &removal,
                Heard { duty: &duty, operator: &operator, put, now, delay: Duration::ZERO },
            );
        }
        doom
    };
    vec![heard(0), heard(1), heard(12)]
}

/// By the holder 1, for the evidence of 2.
pub(super) fn evidence() -> Vec<Evidence> {
    let receipt = receipts().remove(1).sign(&key(1)).unwrap().to_bytes();
    [Finding::Denied, Finding::Wrong]
        .into_iter()
        .map(|finding| Evidence {
            auditor: peer(2),
            receipt: receipt.clone(),
            finding,
            time: Timestamp::from_unix_ms(1_760_000_000_000),
        })
        .collect()
}

pub(super) fn removals() -> Vec<Removal> {
    let time = Timestamp::from_unix_ms(1_760_000_000_000);
    vec![Removal {
        space: SPACE,
        object: OBJECT,
        replica: peer(1),
        time,
        retained_until: Timestamp::from_unix_ms(1_760_086_400_000),
    }]
}

pub(super) fn deletions() -> Vec<Deletion> {
    let shards = [[].as_slice(), &[0, 5]].map(|indices| indices.iter().copied().collect());
    let time = Timestamp::from_unix_ms(1_760_172_800_000);
    shards
        .into_iter()
        .map(|shards| Deletion { object: OBJECT, shards, holder: peer(1), incarnation: LIFE, time })
        .collect()
}
