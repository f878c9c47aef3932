//! Admission, sessions, tickets, bounds.

use cosmic_common::{
    id::{ChannelId, Hash, PeerId, SpaceId},
    record::Record,
    time::Timestamp,
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_log::kind::Kind;

use super::world::{Pen, World, key, revocation};
use crate::{
    admission::{Comparison, Verdict, admit, compare},
    delegation::{Bearer, Caveats},
    genesis::Genesis,
    membership::Membership,
    record::{CopyRecord, EpochRecord, MembershipRecord, kem_hash},
    refusal::{Missing, Refusal},
    rights::{Right, Rights, Role},
    session::{Expected, SessionProof, verify_session},
    ticket::{Ticket, TicketError},
};

const CHANNEL: ChannelId = ChannelId::from_bytes([8; 32]);
const NOW: Timestamp = Timestamp::from_unix_ms(1_000);

#[test]
fn a_space_is_restored_from_its_entries_in_any_order() {
    let mut world = World::new();
    let (mut admin, given) = world.invite(2, Rights::ALL);
    world.pass_on(&mut admin, given, 3, Role::Viewer.rights());
    let mut entries = world.entries.clone();
    entries.reverse();
    let restored = Membership::restore(world.space, &entries).unwrap();
    assert_eq!(restored.heads(), world.membership.heads());
    assert!(restored.members().eq(world.membership.members()));
    entries.pop();
    assert!(matches!(Membership::restore(world.space, &entries), Err(Refusal::Incomplete { .. })));
}

#[test]
fn an_open_waits_for_its_delegation_and_needs_the_right() {
    let mut world = World::new();
    let (_, editor) = world.invite(2, Role::Editor.rights());
    let (_, viewer) = world.invite(3, Role::Viewer.rights());
    let open = |n, delegation| Pen::open(world.space, CHANNEL, &key(n), 1, delegation).1;
    let judge = |entry: &_| admit(&world.membership, None, entry);
    assert!(matches!(judge(&open(2, Some(editor))), Verdict::Admit(_)));
    let stranger = cosmic_common::id::EntryId::from_bytes([5; 32]);
    assert!(matches!(judge(&open(2, Some(stranger))), Verdict::Wait(Missing::Delegation(_))));
    let refused = [open(2, None), open(2, Some(viewer)), open(3, Some(viewer)), open(4, Some(editor))];
    assert!(refused.iter().all(|entry| matches!(judge(entry), Verdict::Refuse(_))));
    let nobody = Membership::new(world.space);
    assert!(matches!(admit(&nobody, None, &open(1, None)), Verdict::Wait(Missing::Genesis)));
}

#[test]
fn an_entry_is_admitted_once_in_its_place_and_of_its_kind() {
    let mut world = World::new();
    let (_, editor) = world.invite(2, Role::Editor.rights());
    let (mut pen, _) = Pen::open(world.space, CHANNEL, &key(2), 1, Some(editor));
    let before = pen.state.clone();
    let fork = pen.draft(Kind::Change, vec![7], &[]);
    let misplaced = pen.draft(Kind::Epoch, vec![7], &[]);
    let first = pen.write(Kind::Change, vec![8], &[]);
    let second = pen.write(Kind::Change, vec![9], &[]);
    let judge = |state: &_, entry| admit(&world.membership, Some(state), entry);
    let Verdict::Admit(after) = judge(&before, &first) else { panic!("admitted") };
    assert!(matches!(judge(&before, &second), Verdict::Wait(Missing::Previous { expected: 1 })));
    assert!(matches!(judge(&before, &misplaced), Verdict::Refuse(Refusal::Kind { .. })));
    assert!(matches!(judge(&after, &first), Verdict::Taken));
    assert!(matches!(compare(&after, &first, &first), Comparison::Duplicate));
    let Comparison::Fork(proof) = compare(&after, &first, &fork) else { panic!("a fork is proven") };
    world.say_as_root(&MembershipRecord::ForkProof(*pen.state.open(), proof), &[]);
    let both = [first.id(), fork.id()].into();
    assert_eq!(world.membership.fork(&pen.state.open().log_id()), Some((1, both)));
}

#[test]
fn a_delegation_never_gives_what_its_giver_does_not_have() {
    let mut world = World::new();
    let (mut editor, given) = world.invite(2, Role::Editor.rights());
    let wider = world.delegation(key(3).writer_id(), Role::Editor.rights(), Some(given));
    let refused = world.say(&mut editor, &MembershipRecord::Delegation(wider), &[]);
    assert!(matches!(refused, Err(Refusal::Lacks { right: Right::Invite })));
    let inviter = Role::Viewer.rights().union(Rights::of(&[Right::Invite]));
    let (mut host, host_given) = world.invite(4, inviter);
    let wider = world.delegation(key(3).writer_id(), Role::Editor.rights(), Some(host_given));
    let refused = world.say(&mut host, &MembershipRecord::Delegation(wider), &[]);
    assert!(matches!(refused, Err(Refusal::Widens { .. })));
}

#[test]
fn a_ticket_is_redeemed_while_the_inviter_is_away() {
    let mut world = World::new();
    let ticket = Ticket::new(world.space, &[6; 32], Vec::new()).unwrap();
    let invite_key = ticket.signing_key();
    let mut offer = world.delegation(invite_key.writer_id(), Role::Editor.rights(), None);
    offer.bearer = Bearer::Ticket;
    offer.caveats = Caveats { expires: Some(Timestamp::from_unix_ms(5_000)), max_bytes: None };
    let offered = world.say_as_root(&MembershipRecord::Delegation(offer), &[]);

    let text = ticket.to_text();
    let received: Ticket = text.parse().unwrap();
    let (mut invite, open) =
        Pen::open(world.space, world.membership.channel(), &received.signing_key(), 2, Some(offered));
    world.take(open).unwrap();
    let (joiner, joined) = world.pass_on(&mut invite, offered, 7, Role::Editor.rights());
    assert!(world.membership.may(&joiner.writer(), Right::Write, &CHANNEL).is_ok());
    assert!(world.membership.may(&invite_key.writer_id(), Right::Write, &CHANNEL).is_err());
    assert!(world.membership.may(&invite_key.writer_id(), Right::Read, &CHANNEL).is_ok());
    assert_eq!(world.membership.caveats(&joined), Caveats::default());

    let cut = invite.head();
    let (_, late) = world.pass_on(&mut invite, offered, 8, Role::Editor.rights());
    world.say_as_root(&revocation(offered, &[cut]), &[]);
    assert!(world.stands(&joined) && !world.stands(&late) && !world.stands(&offered));
}

#[test]
fn copies_are_found_by_their_recipient() {
    let mut world = World::new();
    let recipient = kem_hash(&[1; 4]);
    let epoch = cosmic_common::id::EpochId::from_bytes([2; 32]);
    let copy = CopyRecord { epoch, recipient, sealed: vec![0; 1200] };
    let entry = world.root.write(Kind::Copy, copy.to_bytes(), &[]);
    let id = world.take(entry).unwrap();
    let found = world.membership.copies_for(&recipient);
    assert!(matches!(found.as_slice(), [copy] if copy.epoch == epoch && copy.place.entry == id));
}

#[test]
fn an_epoch_counts_once_its_writer_may_write() {
    let mut world = World::new();
    let (mut viewer, given) = world.invite(2, Role::Viewer.rights());
    let record = EpochRecord { parents: Vec::new(), commitment: Hash::from_bytes([1; 32]) };
    let entry = viewer.write(Kind::Epoch, record.to_bytes(), &[]);
    world.take(entry).unwrap();
    assert!(world.membership.epochs().is_empty());
    let more = world.delegation(viewer.writer(), Role::Editor.rights(), None);
    let more = world.say_as_root(&MembershipRecord::Delegation(more), &[]);
    assert!(matches!(world.membership.epochs().as_slice(), [epoch] if epoch.id == record.id()));
    world.say_as_root(&revocation(more, &[viewer.head()]), &[]);
    assert_eq!(world.membership.epochs().len(), 1, "made inside the cut");
    world.say_as_root(&revocation(more, &[]), &[given]);
    assert!(world.membership.epochs().is_empty(), "two cuts leave what both leave");
}

#[test]
fn a_session_is_bound_to_its_stream_and_ends_with_the_delegation() {
    let mut world = World::new();
    let (pen, given) = world.invite(2, Role::Viewer.rights());
    let expected = Expected {
        client: PeerId::from_bytes([1; 32]),
        server: PeerId::from_bytes([2; 32]),
        nonce: [3; 32],
        protocol: "/cosmic/space/1",
    };
    let proof = SessionProof {
        space: world.space,
        delegation: Some(given),
        key: pen.writer(),
        client: expected.client,
        server: expected.server,
        nonce: expected.nonce,
        protocol: expected.protocol.to_owned(),
        genesis: None,
    };
    let signed = Signed::sign(proof.clone(), &pen.key);
    let verify =
        |world: &World, signed: &_, expected: &_| verify_session(&world.membership, signed, expected, NOW);
    let session = verify(&world, &signed, &expected).unwrap();
    assert!(session.may(Right::Read, &CHANNEL) && !session.may(Right::Write, &CHANNEL));
    assert!(session.may(Right::Write, &world.membership.channel()));
    let other = Expected { nonce: [4; 32], ..expected };
    assert!(matches!(verify(&world, &signed, &other), Err(Refusal::OtherSession { what: "nonce" })));
    let forged = Signed::sign(proof, &key(9));
    assert!(matches!(verify(&world, &forged, &expected), Err(Refusal::Signature(_))));
    world.say_as_root(&revocation(given, &[pen.head()]), &[]);
    assert!(matches!(verify(&world, &signed, &expected), Err(Refusal::Revoked { .. })));
}

#[test]
fn a_ticket_opens_a_session_without_having_seen_its_delegation() {
    let mut world = World::new();
    let expected = Expected {
        client: PeerId::from_bytes([1; 32]),
        server: PeerId::from_bytes([2; 32]),
        nonce: [3; 32],
        protocol: "/cosmic/space/1",
    };
    let opened = |world: &World, key: &SecretKey, genesis: Option<Genesis>| {
        let proof = SessionProof {
            space: world.space,
            delegation: None,
            key: key.writer_id(),
            client: expected.client,
            server: expected.server,
            nonce: expected.nonce,
            protocol: expected.protocol.to_owned(),
            genesis,
        };
        verify_session(&world.membership, &Signed::sign(proof, key), &expected, NOW)
    };
    let ticket = key(6);
    assert!(matches!(opened(&world, &ticket, None), Err(Refusal::NotAMember { .. })));
    let mut offer = world.delegation(ticket.writer_id(), Role::Editor.rights(), None);
    offer.bearer = Bearer::Ticket;
    offer.caveats.expires = Some(NOW);
    world.say_as_root(&MembershipRecord::Delegation(offer.clone()), &[]);
    assert!(matches!(opened(&world, &ticket, None), Err(Refusal::Expired { .. })));
    offer.caveats.expires = None;
    let lasting = world.say_as_root(&MembershipRecord::Delegation(offer), &[]);
    let session = opened(&world, &ticket, None).unwrap();
    assert_eq!((session.delegation, session.bearer), (Some(lasting), Bearer::Ticket));

    // The root stays the root whatever was delegated to its key, and founds a space nobody knows.
    let less = world.delegation(key(1).writer_id(), Role::Viewer.rights(), None);
    world.say_as_root(&MembershipRecord::Delegation(less), &[]);
    assert_eq!(opened(&world, &key(1), None).unwrap().rights, Rights::ALL);
    let genesis = world.membership.genesis().cloned();
    world.membership = Membership::new(world.space);
    assert!(matches!(opened(&world, &key(1), None), Err(Refusal::Missing(Missing::Genesis))));
    assert!(matches!(opened(&world, &ticket, genesis.clone()), Err(Refusal::NotRoot { .. })));
    assert_eq!(opened(&world, &key(1), genesis).unwrap().rights, Rights::ALL);
}

#[test]
fn a_mistyped_ticket_is_named_as_such_and_never_shown() {
    let ticket = Ticket::new(SpaceId::from_bytes([1; 32]), &[2; 32], Vec::new()).unwrap();
    let text = ticket.to_text();
    assert_eq!(text.to_uppercase().parse::<Ticket>().unwrap(), ticket);
    let mut typo = text.to_string().into_bytes();
    typo[30] = if typo[30] == b'a' { b'b' } else { b'a' };
    let typo = String::from_utf8(typo).unwrap();
    assert!(matches!(typo.parse::<Ticket>(), Err(TicketError::Checksum)));
    assert!(matches!("hello".parse::<Ticket>(), Err(TicketError::Prefix)));
    assert!(matches!(
        text[..text.len() - 9].parse::<Ticket>(),
        Err(TicketError::Checksum | TicketError::Alphabet)
    ));
    assert!(!format!("{ticket:?}").contains("seed: ["));
}
