//! A crowd of real servers on loopback: records are found although a fifth lies, and although somebody stands around the key.
//!
//! What the rules do with hundreds is shown by the simulated crowd beside them; here the whole of the product runs, with its
//! handshakes, tables and streams. `COSMIC_SERVERS` says how many there are.

use std::sync::Arc;

use cosmic_common::{address::Address, hash::derive, id::PeerId, protocol::DIRECTORY};
use cosmic_identity::key::SecretKey;
use futures::StreamExt as _;

use super::{SOON, launch};
use crate::{
    Config, Handle, Metrics, Options, Validator,
    directory::{
        message::{Answer, NAMED_MAX, QUESTION_MAX_BYTES},
        place::Place,
    },
};

/// Servers, honest and lying; more say the same for longer.
const SERVERS: usize = 20;
/// One of so many lies.
const LIARS_EACH: usize = 5;
/// Liars whose ids were made to stand around the key, and ids among which they were chosen.
const SYBILS: usize = 8;
const SYBILS_TRIED: u32 = 4000;
/// Servers a newcomer is told of.
const TOLD: usize = 3;

/// Accepts values that begin with their key.
struct Prefix;

impl Validator for Prefix {
    fn judge(&self, key: &[u8], _known: Option<&[u8]>, value: &[u8]) -> Option<Vec<u8>> {
        value.starts_with(key).then(|| value.to_vec())
    }
}

fn key(number: u32) -> SecretKey {
    SecretKey::from_seed(&derive("crowd", &[&number.to_be_bytes()]))
}

async fn start(key: &SecretKey, lies: bool) -> Handle {
    let config = Config { directory_server: true, bulk: false, ..Config::loopback() };
    let protocols = if lies { &[DIRECTORY][..] } else { &[] };
    let (validator, metrics) = (Arc::new(Prefix), Metrics::default());
    launch(Options { key, config, protocols, validator, metrics }).await
}

/// Answers everybody with a forged record, keeps nothing, and names liars alone.
#[expect(clippy::disallowed_methods, reason = "a test has no supervisor; the task ends with its handle")]
fn lie(liar: &Handle, friends: Vec<(PeerId, Vec<Address>)>) {
    let mut questions = liar.accept(DIRECTORY).unwrap();
    tokio::spawn(async move {
        while let Some(mut stream) = questions.next().await {
            let forged = Answer { has: true, value: b"forged".to_vec(), servers: friends.clone() };
            // Whoever asks may have left, which is nothing to a liar.
            if let Ok(Some(_question)) = stream.recv(QUESTION_MAX_BYTES).await {
                stream.send(&forged.to_bytes()).await.unwrap_or_default();
                stream.close().await.unwrap_or_default();
            }
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_although_liars_stand_around_its_key() {
    let count = std::env::var("COSMIC_SERVERS").ok().and_then(|count| count.parse().ok()).unwrap_or(SERVERS);
    let wanted = b"the key that is surrounded";
    let target = Place::of_key(wanted);
    let mut tried: Vec<SecretKey> = (1_000_000..1_000_000 + SYBILS_TRIED).map(key).collect();
    tried.sort_by_cached_key(|key| Place::of_peer(&key.peer_id()).unwrap().distance(&target));
    let mut liars = Vec::new();
    let mut honest = Vec::new();
    for sybil in tried.iter().take(SYBILS) {
        liars.push(start(sybil, true).await);
    }
    for number in 0..count {
        let lies = number % LIARS_EACH == LIARS_EACH - 1;
        let server = start(&key(u32::try_from(number).unwrap()), lies).await;
        if lies { &mut liars } else { &mut honest }.push(server);
    }
    let all: Vec<Handle> = honest.iter().chain(&liars).cloned().collect();
    let friends: Vec<_> = liars.iter().map(|liar| (liar.local_peer(), liar.listening())).collect();
    for liar in &liars {
        lie(liar, friends.iter().take(NAMED_MAX).cloned().collect());
    }
    // Everybody is told of a few, drawn from all; the first of them is honest, and makes itself known to nobody.
    let acquaint = all.iter().enumerate().skip(1).map(|(number, server)| {
        let drawn = (0..TOLD).map(|turn| &all[(number * 7 + turn * 31) % all.len()]);
        let told: Vec<&Handle> = drawn.chain([&all[0]]).collect();
        async move {
            for other in told.into_iter().filter(|other| other.local_peer() != server.local_peer()) {
                server.connect(other.local_peer(), &other.listening(), SOON).await.unwrap();
            }
        }
    });
    futures::stream::iter(acquaint).buffer_unordered(4).collect::<Vec<()>>().await;
    for server in &honest {
        knows_somebody(server).await;
    }
    let joins = honest.iter().map(|server| server.bootstrap(2 * SOON));
    let joined: Vec<_> = futures::stream::iter(joins).buffer_unordered(4).collect().await;
    assert!(joined.iter().all(Result::is_ok), "{joined:?}");
    let value = [wanted.as_slice(), b" is here"].concat();
    honest[0].publish(wanted, &value, 2 * SOON).await.unwrap();
    let searches = honest.iter().map(|server| server.find(wanted, 2 * SOON));
    let found: Vec<_> = futures::stream::iter(searches).buffered(4).collect().await;
    let lost = found.iter().filter(|found| !matches!(found, Ok(Some(found)) if *found == value)).count();
    println!(
        "{} honest servers, {} liars: {lost} of {} searches failed",
        honest.len(),
        liars.len(),
        found.len()
    );
    assert_eq!(lost, 0, "{found:?}");
}

/// Waits until an introduction has brought a server into the table.
async fn knows_somebody(server: &Handle) {
    let mut poll = tokio::time::interval(std::time::Duration::from_millis(10));
    let known = async {
        while server.situation().await.unwrap().directory.servers == 0 {
            poll.tick().await;
        }
    };
    tokio::time::timeout(SOON, known).await.unwrap();
}
