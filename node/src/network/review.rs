//! Reviews: a ring that grew or shrank codes its objects anew, and what was signed for the old shards is worth nothing then.
//! What lies in another class than the ring's, as far as this device knows, is asked about again: chunks as if they waited
//! for their upload (a gateway that has them takes no bytes), packs as if somebody waited for them.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::{
    id::{LogId, SpaceId},
    record::Record as _,
};
use cosmic_erasure::Manifest;
use cosmic_ring::Class;
use cosmic_runtime::shutdown::Shutdown;
use rusqlite::{Connection, params};
use tokio::sync::broadcast::Receiver;

use crate::{
    core::Core,
    error::Error,
    event::{self, Event},
    node::Node,
    safety::packs,
};

/// The first pause while something lies in another class; doubled after each review. A ring waits for two days before it
/// codes anything anew.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// The longest pause.
const PAUSE_MOST: Duration = Duration::from_hours(1);
/// Rows looked at in one go; a write is not held up by more.
const PAGE: usize = 256;

/// The class of the ring that each space is placed by.
type Classes = BTreeMap<SpaceId, Class>;

/// Reviews when the class of a ring has changed, and again until all lies in it, until the shutdown.
pub async fn run(node: Node, shutdown: Shutdown) {
    let mut events = node.context.events.subscribe();
    let (mut reviewed, mut pause) = (Classes::new(), PAUSE_FIRST);
    loop {
        let review = async {
            let classes = classes(&node).await?;
            let chunks = ask_again(&node, &classes, Vec::new(), chunk_page, ask_for_chunk).await?;
            let packs = ask_again(&node, &classes, (Vec::new(), 0), pack_page, ask_for_pack).await?;
            Ok::<_, Error>((classes, chunks + packs))
        };
        match shutdown.unless(review).await {
            None => return,
            Some(Ok((classes, 0))) => (reviewed, pause) = (classes, PAUSE_MOST),
            Some(Ok((classes, asked))) => {
                tracing::debug!(asked, "what lies in another class is asked about again");
                reviewed = classes;
            }
            Some(Err(error)) => tracing::error!(%error, "what is durable cannot be looked at"),
        }
        let change = node.clock().timeout(pause, changed(&node, &mut events, &reviewed));
        match shutdown.unless(change).await {
            None => return,
            Some(Some(())) => pause = PAUSE_FIRST,
            Some(None) => pause = (pause * 2).min(PAUSE_MOST),
        }
    }
}

/// Waits until the class of a ring is another than `reviewed`.
async fn changed(node: &Node, events: &mut Receiver<Event>, reviewed: &Classes) {
    // While the sender lives, which is as long as the node.
    while event::told(events, |event| matches!(event, Event::Ring)).await {
        if classes(node).await.is_ok_and(|classes| classes != *reviewed) {
            return;
        }
    }
    std::future::pending().await
}

async fn classes(node: &Node) -> Result<Classes, Error> {
    let reading = node.clone();
    node.read(move |connection| {
        let mut classes = Classes::new();
        let mut statement = connection.prepare_cached("SELECT space FROM spaces")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let space = SpaceId::try_from(row.get_ref(0)?.as_blob()?)?;
            classes.extend(reading.safety.class(connection, &space)?.map(|class| (space, class)));
        }
        Ok(classes)
    })
    .await
}

/// Whether what `manifest` names lies in another class than that of the ring of `space`.
fn is_elsewise(classes: &Classes, space: &SpaceId, manifest: &[u8]) -> bool {
    let codec = Manifest::from_bytes(manifest).ok().map(|manifest| manifest.codec());
    let known = codec.zip(classes.get(space));
    known.is_some_and(|(codec, class)| (codec.k(), codec.n()) != (class.k.into(), class.n.into()))
}

/// Something that lies in a class: what it is found by, its space, its manifest.
type Row<K> = (K, SpaceId, Vec<u8>);
type Page<K> = Vec<Row<K>>;

/// Has everything asked about that lies in another class, page by page from `first` on; how much that is.
async fn ask_again<K: Clone + Send + 'static>(
    node: &Node,
    classes: &Classes,
    first: K,
    page: fn(&Connection, &K) -> Result<Page<K>, Error>,
    ask: fn(&mut Core, &Connection, &K, SpaceId) -> Result<(), Error>,
) -> Result<usize, Error> {
    let (mut after, mut asked) = (Some(first), 0);
    while let Some(from) = after.take() {
        let rows = node.read(move |connection| page(connection, &from)).await?;
        after = rows.last().filter(|_| rows.len() == PAGE).map(|(key, ..)| key.clone());
        let is_stale = |(_, space, manifest): &Row<K>| is_elsewise(classes, space, manifest);
        let stale: Vec<Row<K>> = rows.into_iter().filter(is_stale).collect();
        asked += stale.len();
        if !stale.is_empty() {
            let asking = move |core: &mut Core, connection: &Connection| {
                stale.iter().try_for_each(|(key, space, _)| ask(core, connection, key, *space))
            };
            node.write(asking).await?;
        }
    }
    Ok(asked)
}

fn chunk_page(connection: &Connection, after: &Vec<u8>) -> Result<Page<Vec<u8>>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT object, space, manifest FROM objects
         WHERE object > ?1 AND mine = 1 AND durable = 1 AND cached = 1 AND manifest IS NOT NULL
         ORDER BY object LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, PAGE])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push((row.get(0)?, SpaceId::try_from(row.get_ref(1)?.as_blob()?)?, row.get(2)?));
    }
    Ok(page)
}

fn ask_for_chunk(
    core: &mut Core,
    connection: &Connection,
    object: &Vec<u8>,
    space: SpaceId,
) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE objects SET durable = 0 WHERE object = ?1 AND cached = 1")?
        .execute([object])?;
    core.tell(Event::Upload { space });
    Ok(())
}

/// A pack: its log and its last entry.
type PackKey = (Vec<u8>, u64);

fn pack_page(connection: &Connection, (log, last): &PackKey) -> Result<Page<PackKey>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT packs.log, packs.last, logs.space, packs.manifest FROM packs JOIN logs ON logs.log = packs.log
         WHERE (packs.log, packs.last) > (?1, ?2) ORDER BY packs.log, packs.last LIMIT ?3",
    )?;
    let mut rows = statement.query(params![log, last, PAGE])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let key = (row.get(0)?, row.get(1)?);
        page.push((key, SpaceId::try_from(row.get_ref(2)?.as_blob()?)?, row.get(3)?));
    }
    Ok(page)
}

fn ask_for_pack(
    core: &mut Core,
    connection: &Connection,
    (log, last): &PackKey,
    space: SpaceId,
) -> Result<(), Error> {
    packs::want(connection, &space, &LogId::try_from(log.as_slice())?, *last)?;
    core.tell(Event::Wanted { space });
    Ok(())
}
