//! Messages about entries, objects and shards, receipts, placements, quotas.

use cosmic_common::{hash, id::ObjectId, record::Record};
use cosmic_custody::{
    Deletion, Doom, Evidence, Placement, Quota, Receipt, Removal, Tail, Usage,
    audit::proof::{Challenge, GROUP_BYTES, GROUPS},
    message::{
        care::{CareAnswer, CareRequest},
        meeting::{MeetingAnswer, MeetingRequest},
        object::{ObjectAnswer, ObjectRequest},
        replica::{ReplicaAnswer, ReplicaCall, ReplicaReply, heads_digest},
        shard::{ShardAnswer, ShardRequest},
        space::SpaceFrame,
        turn::{TurnAnswer, TurnRequest},
    },
};
use cosmic_identity::{key::SecretKey, signed::Signed};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "custody",
    decoders: &[
        decoder("object-request", check::only_record::<ObjectRequest>),
        decoder("object-answer", check::only_record::<ObjectAnswer>),
        decoder("meeting-request", check::only_record::<MeetingRequest>),
        decoder("meeting-answer", check::only_record::<MeetingAnswer>),
        decoder("turn-request", check::only_record::<TurnRequest>),
        decoder("turn-answer", check::only_record::<TurnAnswer>),
        decoder("shard-request", check::only_record::<ShardRequest>),
        decoder("shard-answer", check::only_record::<ShardAnswer>),
        decoder("replica-call", check::only_record::<ReplicaCall>),
        decoder("replica-reply", replica_reply),
        decoder("space-frame", check::only_record::<SpaceFrame>),
        decoder("placement", check::only_record::<Placement>),
        decoder("quota", check::only_record::<Quota>),
        decoder("usage", check::only_record::<Usage>),
        decoder("doom", check::only_record::<Doom>),
        decoder("receipt", receipt),
        decoder("signed-receipt", signed_receipt),
        decoder("care-request", check::only_record::<CareRequest>),
        decoder("care-answer", check::only_record::<CareAnswer>),
        decoder("signed-removal", check::signed::<Removal>),
        decoder("signed-deletion", check::signed::<Deletion>),
        decoder("signed-evidence", evidence),
        decoder("tail", check::only_record::<Tail>),
        sampled(|| vec![vec![3, 0, 9, 2, 0, 9, 1], vec![2, 200, 1, 1, 9, 0, 1, 2, 3]], proof),
    ],
};

/// Heads in an answer have one digest.
fn replica_reply(bytes: &[u8]) {
    let Some(reply) = check::record::<ReplicaReply>(bytes) else { return };
    if let ReplicaAnswer::Heads { heads, .. } = &reply.answer {
        assert_eq!(heads_digest(heads), heads_digest(&heads.clone()));
    }
}

/// A receipt opens once its holder has signed it, and for nobody else.
fn receipt(bytes: &[u8]) {
    let Some(receipt) = check::record::<Receipt>(bytes) else { return };
    let key = SecretKey::from_seed(&[7; 32]);
    let own = Receipt { holder: key.peer_id(), ..receipt.clone() };
    let signed = own.clone().sign(&key).expect("a holder signs its own receipt").to_bytes();
    assert_eq!(Receipt::open(&signed).ok(), Some(own));
    assert_eq!(receipt.holder == key.peer_id(), receipt.sign(&key).is_ok());
}

fn signed_receipt(bytes: &[u8]) {
    let signed = check::record::<Signed<Receipt>>(bytes);
    let opened = Receipt::open(bytes).ok();
    assert!(opened.is_none() || opened.as_ref() == signed.as_ref().map(Signed::unverified));
}

/// Evidence opens only as its auditor signed it.
fn evidence(bytes: &[u8]) {
    check::signed::<Evidence>(bytes);
    if let Ok(charged) = Evidence::open(bytes) {
        let signed = Signed::<Evidence>::from_bytes(bytes).expect("what opens decodes");
        assert!(signed.verify(charged.auditor.as_bytes()).is_ok());
    }
}

/// A proof holds as the holder made it, and not changed, cut or lengthened.
fn proof(bytes: &[u8]) {
    let mut script = Script(bytes);
    let length = usize::from(script.byte() % 5) * GROUP_BYTES + script.number() % GROUP_BYTES;
    let shard: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    let expected = hash::plain(&shard);
    let groups = (0..script.byte() % (GROUPS as u8 + 1)).map(|_| u32::from(script.byte() % 8)).collect();
    let challenge = Challenge { object: ObjectId::from_bytes([1; 32]), index: 0, groups };
    let made = challenge.prove(&shard, &expected).ok();
    if challenge.check(script.0, &expected, length).is_ok() {
        assert!(made.as_deref() == Some(script.0), "another proof");
    }
    let Some(proof) = made else { return };
    assert!(challenge.check(&proof, &expected, length).is_ok());
    let mut changed = proof.clone();
    match script.byte() % 3 {
        0 => changed.truncate(script.number()),
        1 => changed.extend_from_slice(script.take(9)),
        _ => {
            let at = script.number() % changed.len();
            changed[at] ^= script.byte();
        }
    }
    assert_eq!(challenge.check(&changed, &expected, length).is_ok(), changed == proof);
    // Which length passes depends on the groups; a wrong one must only do no harm.
    drop(challenge.check(&proof, &expected, script.number()));
}
