//! Adaptive batching: pending changes become sealed entries, alone when the uplink is idle, together when it is not.

use cosmic_common::{
    id::{Incarnation, SpaceId},
    limit::BODY_PLAIN_MAX_BYTES,
    record::Record as _,
};
use cosmic_log::kind::Kind;
use rusqlite::{Connection, params};

use super::{Core, append::NewEntry, space::Space};
use crate::{
    content::{ChangeBody, Update},
    error::Error,
};

/// Plain bytes of updates that share an entry. Twenty small documents compress to an eighth together (measured);
/// beyond 64 KiB nothing more is gained.
const BATCH_BYTES: usize = 64 * 1024;
/// Plain bytes one update may have: a body less room for the names beside it.
pub(crate) const UPDATE_MAX_BYTES: usize = BODY_PLAIN_MAX_BYTES - 4096;
/// Rows read at once.
const ROWS: usize = 4096;

struct Pending {
    number: i64,
    collection: String,
    document: String,
    incarnation: Incarnation,
    content: Vec<u8>,
}

impl Core {
    /// Seals what is pending in `space` if somebody waits for it or it is much.
    pub(crate) fn seal_if_due(&mut self, connection: &Connection, id: &SpaceId) -> Result<(), Error> {
        self.with_space(connection, id, |core, space| {
            if core.context.uplinks.should_seal(id, space.pending_bytes) {
                space.seal_pending(core, connection)?;
                space.take_snapshots(core, connection)?;
            }
            Ok(())
        })
    }

    /// Seals all that is pending in `space`: somebody has come to take it.
    pub(crate) fn seal_all(&mut self, connection: &Connection, id: &SpaceId) -> Result<(), Error> {
        self.with_space(connection, id, |core, space| {
            space.seal_pending(core, connection)?;
            space.take_snapshots(core, connection)
        })
    }
}

impl Space {
    fn seal_pending(&mut self, core: &mut Core, connection: &Connection) -> Result<(), Error> {
        if self.pending_bytes == 0 || self.secrets.is_none() {
            return Ok(());
        }
        loop {
            let rows = read_pending(connection, &self.id)?;
            if rows.is_empty() {
                break;
            }
            let mut rows = rows.into_iter().peekable();
            while let Some(first) = rows.next() {
                let mut bytes = first.content.len();
                let mut batch = vec![first];
                while let Some(next) = rows.next_if(|next| {
                    let shares = batch.first().is_some_and(|first| {
                        first.collection == next.collection && first.incarnation == next.incarnation
                    });
                    shares && bytes + next.content.len() + next.document.len() <= BATCH_BYTES
                }) {
                    bytes += next.content.len() + next.document.len();
                    batch.push(next);
                }
                self.seal_batch(core, connection, batch)?;
            }
        }
        self.pending_bytes = 0;
        Ok(())
    }

    fn seal_batch(
        &mut self,
        core: &mut Core,
        connection: &Connection,
        batch: Vec<Pending>,
    ) -> Result<(), Error> {
        let Some(first) = batch.first() else { return Ok(()) };
        let collection = first.collection.clone();
        let made_in = (first.incarnation != core.context.device.incarnation()).then_some(first.incarnation);
        let channel = self.secrets()?.channel_id(&collection);
        let numbers: Vec<i64> = batch.iter().map(|row| row.number).collect();
        let documents: Vec<String> = batch.iter().map(|row| row.document.clone()).collect();
        let updates =
            batch.into_iter().map(|row| Update { document: row.document, operations: row.content }).collect();
        let body = ChangeBody { collection: collection.clone(), made_in, updates }.to_bytes();
        let (epoch, secret) = self.current_epoch()?;
        let entry =
            self.append(core, connection, channel, NewEntry::sealed(Kind::Change, epoch), |core, bytes| {
                Ok(core.sealer.seal(&secret, bytes, &body)?)
            })?;
        let mut delete = connection.prepare_cached("DELETE FROM pending WHERE number = ?1")?;
        for number in numbers {
            delete.execute([number])?;
        }
        let mut point = connection.prepare_cached(
            "UPDATE documents SET log = ?4, seq = ?5 WHERE space = ?1 AND collection = ?2 AND document = ?3",
        )?;
        for document in documents {
            let (log, seq) = (entry.core().log, entry.core().seq);
            point.execute(params![self.id.as_bytes(), collection, document, log.as_bytes(), seq])?;
        }
        Ok(())
    }
}

fn read_pending(connection: &Connection, space: &SpaceId) -> Result<Vec<Pending>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT number, collection, document, incarnation, content FROM pending WHERE space = ?1 ORDER BY number LIMIT {ROWS}"
    ))?;
    let mut rows = statement.query([space.as_bytes()])?;
    let mut pending = Vec::new();
    while let Some(row) = rows.next()? {
        pending.push(Pending {
            number: row.get(0)?,
            collection: row.get(1)?,
            document: row.get(2)?,
            incarnation: Incarnation::try_from(row.get_ref(3)?.as_blob()?)?,
            content: row.get(4)?,
        });
    }
    Ok(pending)
}
