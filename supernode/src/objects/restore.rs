//! Making a shard that is damaged here again, out of any k of the others.

use cosmic_common::{id::ObjectId, record::Record as _};
use cosmic_erasure::Manifest;

use super::{Error, Objects};
use crate::tables::KeptRow;

impl Objects {
    /// Makes shard `index` of the coding `object`, of which `row` says what it was, and keeps it in the place of the damaged one.
    ///
    /// # Errors
    /// [`Error`] if the others are too few.
    pub async fn restore(&self, object: ObjectId, index: u8, row: &KeptRow) -> Result<(), Error> {
        let _turn = self.turn().await?;
        let rebuilt = self.get(row.space, object).await?;
        let manifest = self.manifest(object, index, row).await?;
        let coder = self.coder(object, manifest.codec())?;
        let (bytes, id) = (rebuilt.into_vec(), manifest.object());
        let coding = tokio::task::spawn_blocking(move || coder.encode_known(id, bytes)).await;
        let encoded =
            coding.map_err(|_gone| Error::Stopping)?.map_err(|source| Error::Coding { object, source })?;
        let shard = encoded.shard(index).unwrap_or_default();
        Ok(self.0.shards.keeper().restore(&manifest, index, row, shard).await?)
    }

    /// The manifest that names the shard as `row` does: the one here, or the one most others have.
    async fn manifest(&self, object: ObjectId, index: u8, row: &KeptRow) -> Result<Manifest, Error> {
        let names = |bytes: &[u8]| {
            let manifest = Manifest::from_bytes(bytes).ok().filter(|manifest| manifest.coding() == object);
            manifest.filter(|manifest| manifest.shard(index) == Some(row.hash))
        };
        let here = self.0.shards.keeper().manifest(&object).ok().flatten();
        if let Some(manifest) = here.and_then(|bytes| names(&bytes)) {
            return Ok(manifest);
        }
        let whereabouts = self.whereabouts(&row.space, object).await?;
        names(&whereabouts.manifest).ok_or(Error::NotHere { object })
    }
}
