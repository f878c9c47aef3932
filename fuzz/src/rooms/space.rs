//! Records of a space, tickets, session proofs, and a membership whose members say anything.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::{
    heads::Heads,
    id::{ChannelId, EntryId, Hash, Incarnation},
    record::Record,
    time::{HybridTime, Timestamp},
};
use cosmic_identity::{key::SecretKey, signed::Signed};
use cosmic_log::{
    chain::{Draft, LogState, append, open_log},
    entry::Entry,
    kind::Kind,
    open::Open,
};
use cosmic_space::{
    admission::{Verdict, admit},
    card::Card,
    delegation::{Bearer, Caveats, Delegation},
    genesis::{Genesis, Policy, membership_channel},
    membership::{Membership, counting::Trace},
    record::{AcknowledgementRecord, CopyRecord, EpochRecord, MembershipRecord, Revocation},
    rights::{Channels, Rights, Role},
    session::{Expected, SessionProof, verify_session},
    ticket::Ticket,
};

use crate::{
    Room,
    check::{self, Script},
    decoder, sampled,
};

/// The room.
pub const ROOM: Room = Room {
    name: "space",
    decoders: &[
        decoder("genesis", check::only_record::<Genesis>),
        decoder("card", check::only_record::<Card>),
        decoder("membership-", membership_record),
        sampled(Vec::new, check::only_record::<Delegation>),
        decoder("epoch", check::only_record::<EpochRecord>),
        decoder("copy", check::only_record::<CopyRecord>),
        decoder("acknowledgement", check::only_record::<AcknowledgementRecord>),
        decoder("session-proof", session_proof),
        decoder("ticket", check::only_record::<Ticket>),
        decoder("ticket", ticket_text),
        sampled(|| vec![b"owner".to_vec(), b"reader".to_vec()], check::text::<Role>),
        sampled(membership_samples, membership),
    ],
};

fn membership_record(bytes: &[u8]) {
    match check::record::<MembershipRecord>(bytes) {
        Some(MembershipRecord::Genesis(genesis)) => drop(Membership::new(genesis.space_id()).found(&genesis)),
        Some(MembershipRecord::ForkProof(open, proof)) => drop(proof.verify(&open.writer)),
        Some(MembershipRecord::Delegation(delegation)) => {
            assert!(delegation.own_rights().is_within(delegation.rights));
        }
        _ => {}
    }
}

/// A proof opens a session only if its key signed it.
fn session_proof(bytes: &[u8]) {
    let Some(proof) = check::record::<Signed<SessionProof>>(bytes) else { return };
    let claimed = proof.unverified();
    let expected = Expected {
        client: claimed.client,
        server: claimed.server,
        nonce: claimed.nonce,
        protocol: &claimed.protocol,
    };
    if let Ok(session) =
        verify_session(&Membership::new(claimed.space), &proof, &expected, Timestamp::default())
    {
        assert!(proof.verify(claimed.key.as_bytes()).is_ok());
        assert_eq!((session.space, session.key), (claimed.space, claimed.key));
    }
}

/// A ticket that can be read says itself again in its usual form.
fn ticket_text(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(ticket) = text.parse::<Ticket>() else { return };
    let usual = ticket.to_text();
    assert_eq!(*usual, text.trim().to_ascii_lowercase());
    assert_eq!(usual.parse::<Ticket>().map(|again| again.to_bytes()).ok(), Some(ticket.to_bytes()));
}

fn membership_samples() -> Vec<Vec<u8>> {
    vec![
        // The root delegates to writer 1, who opens a log and delegates to writer 2; the root revokes it all.
        vec![1, 0, 0x1f, 1, 0, 0, 0, 1, 2, 1, 1, 3, 1, 0x0f, 2, 0, 1, 0, 0, 2, 0, 2, 1, 3, 0],
        vec![1, 0, 0x1f, 1, 1, 0, 0, 1, 3, 0, 3, 0, 40, 4, 0, 5, 1, 0, 0],
    ]
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number % 4 + 1; 32])
}

/// A space whose members sign whatever the script says.
struct World {
    genesis: Genesis,
    membership: Membership,
    states: BTreeMap<u8, LogState>,
    /// Admitted entries with what opened their logs.
    entries: Vec<(Open, Entry)>,
}

/// Whatever members sign, what was admitted restores to the same membership in any order.
fn membership(bytes: &[u8]) {
    const ENTRIES_MAX: usize = 24;
    let mut script = Script(bytes);
    let mut world = World::new();
    while !script.is_over() && world.entries.len() < ENTRIES_MAX {
        world.step(&mut script);
    }
    let mut entries: Vec<Entry> = world.entries.iter().map(|(_, entry)| entry.clone()).collect();
    entries.reverse();
    let restored =
        Membership::restore(world.membership.space(), &entries).expect("what was admitted is complete");
    assert_eq!(facts(&restored), facts(&world.membership));
    let traces: Vec<Trace> = world.entries.iter().map(|(open, entry)| Trace::of(open, entry)).collect();
    let channel = world.membership.channel();
    assert_eq!(
        restored.set_aside_entries(&channel, &traces),
        world.membership.set_aside_entries(&channel, &traces)
    );
}

type Facts = (Heads, BTreeSet<EntryId>, Vec<Option<EntryId>>, Vec<String>);

/// What a membership says, as far as its peers must agree on it.
fn facts(membership: &Membership) -> Facts {
    let standing =
        (0..4).map(|n| membership.standing_of(&key(n).writer_id(), Timestamp::from_unix_ms(5))).collect();
    let members = membership.members().map(|member| format!("{member:?}")).collect();
    (membership.heads(), membership.frontier().into_iter().collect(), standing, members)
}

impl World {
    fn new() -> Self {
        let genesis = Genesis { root: key(0).writer_id(), nonce: [9; 16], policy: Policy::default() };
        let mut membership = Membership::new(genesis.space_id());
        membership.found(&genesis).expect("the genesis founds its space");
        let mut world = Self { genesis, membership, states: BTreeMap::new(), entries: Vec::new() };
        world.open(0, None);
        let genesis = MembershipRecord::Genesis(world.genesis.clone()).to_bytes();
        world.write(0, Draft::new(Kind::Membership, HybridTime::from_bits(1)), &genesis);
        world
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let (what, writer) = (script.byte() % 6, script.byte() % 4);
        let body = match what {
            0 => script.piece().to_vec(),
            1 => MembershipRecord::Delegation(self.delegation(script)).to_bytes(),
            2 => {
                let delegation = self.entry(script.byte());
                return self.open(writer, delegation);
            }
            3 => {
                let target = self.entry(script.byte()).unwrap_or(EntryId::from_bytes([1; 32]));
                let cut = if script.byte() % 2 == 0 { self.membership.heads() } else { Heads::new() };
                MembershipRecord::Revocation(Revocation { target, cut }).to_bytes()
            }
            4 => {
                let kem = vec![script.byte(); 1216];
                MembershipRecord::KemKey(kem).to_bytes()
            }
            _ => EpochRecord { parents: Vec::new(), commitment: Hash::from_bytes([script.byte(); 32]) }
                .to_bytes(),
        };
        let kind = match (what, script.byte() % 4) {
            (5, _) | (0, 1) => Kind::Epoch,
            (0, 2) => Kind::Copy,
            (0, 3) => Kind::Acknowledgement,
            _ => Kind::Membership,
        };
        let mut draft = Draft::new(kind, HybridTime::from_bits(u64::from(script.byte())));
        draft.dependencies = if script.byte() % 2 == 0 { self.membership.frontier() } else { Vec::new() };
        self.write(writer, draft, &body);
    }

    fn delegation(&self, script: &mut Script<'_>) -> Delegation {
        let rights =
            Rights::from_bits(script.byte()).unwrap_or(Rights::from_bits(1).expect("the weakest right"));
        let audience = key(script.byte()).writer_id();
        let shape = script.byte();
        let channels = if shape & 2 == 0 {
            Channels::All
        } else {
            Channels::Only((0..shape >> 4).map(|n| ChannelId::from_bytes([n; 32])).collect())
        };
        Delegation {
            space: self.membership.space(),
            rights,
            channels,
            audience,
            bearer: if shape & 1 == 0 { Bearer::Member } else { Bearer::Ticket },
            kem_hash: None,
            caveats: Caveats {
                expires: (shape & 4 != 0).then(|| Timestamp::from_unix_ms(u64::from(script.byte()))),
                max_bytes: None,
            },
            parent: self.entry(script.byte()),
        }
    }

    /// The entry with this number, from 1 on.
    fn entry(&self, number: u8) -> Option<EntryId> {
        self.entries.get(usize::from(number).checked_sub(1)?).map(|(_, entry)| entry.id())
    }

    fn open(&mut self, writer: u8, delegation: Option<EntryId>) {
        let space = self.membership.space();
        let open = Open {
            space,
            writer: key(writer).writer_id(),
            channel: membership_channel(&space),
            incarnation: Incarnation::from_bytes([writer; 16]),
            delegation,
        };
        let (_, entry) = open_log(open, HybridTime::from_bits(0), &key(writer)).expect("a log opens");
        if !self.states.contains_key(&writer) {
            self.admit(writer, None, entry);
        }
    }

    fn write(&mut self, writer: u8, draft: Draft, body: &[u8]) {
        let Some(state) = self.states.get(&writer).cloned() else { return };
        if let Ok(entry) = append(&state, draft, &key(writer), |_core| body.to_vec()) {
            self.admit(writer, Some(&state), entry);
        }
    }

    /// What is admitted has its place in the membership.
    fn admit(&mut self, writer: u8, state: Option<&LogState>, entry: Entry) {
        let Verdict::Admit(state) = admit(&self.membership, state, &entry) else { return };
        self.membership.insert(&entry).expect("what is admitted can be inserted");
        assert!(self.membership.contains(&entry.id()));
        self.entries.push((*state.open(), entry));
        self.states.insert(writer, state);
    }
}
