//! Open documents: a bounded set of CRDTs in memory, the least recently used one closed first.

use std::collections::{BTreeMap, HashMap};

use cosmic_common::id::SpaceId;

use crate::documents::engine::Document;

/// Documents kept open; about 12 kB each (measured), so 6 MB.
const OPEN_MAX: usize = 512;

type Key = (SpaceId, String, String);

/// The open documents of all spaces.
#[derive(Debug, Default)]
pub(crate) struct OpenDocuments {
    documents: HashMap<Key, (u64, Document)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
}

impl OpenDocuments {
    /// Takes a document out; whoever changed it and made that durable puts it back.
    pub(crate) fn take(&mut self, space: &SpaceId, collection: &str, document: &str) -> Option<Document> {
        let key = (*space, collection.to_owned(), document.to_owned());
        let (used, document) = self.documents.remove(&key)?;
        self.by_use.remove(&used);
        Some(document)
    }

    /// Keeps a document open, and closes the one that was not used for longest if there are too many.
    pub(crate) fn put(&mut self, space: &SpaceId, collection: &str, id: &str, document: Document) {
        let key = (*space, collection.to_owned(), id.to_owned());
        self.uses += 1;
        self.by_use.insert(self.uses, key.clone());
        self.documents.insert(key, (self.uses, document));
        if self.documents.len() > OPEN_MAX
            && let Some((_used, oldest)) = self.by_use.pop_first()
        {
            self.documents.remove(&oldest);
        }
    }

    /// Closes all.
    pub(crate) fn clear(&mut self) {
        self.documents.clear();
        self.by_use.clear();
    }
}
