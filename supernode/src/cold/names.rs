//! What a cold shard is called in the store: its object, its index, and a number of its own.
//!
//! The number is drawn anew for each upload. So no upload ever meets an earlier one, and an object that is to be deleted
//! is never one that is being written.

use cosmic_common::id::{ObjectId, PeerId};
use object_store::path::Path;

/// Where the shards are, within a folder.
const SHARDS: &str = "shards";
/// Says that the folder is this supernode's, and that it is still the one that was written to.
const MARKER: &str = "place";

/// One object in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) object: ObjectId,
    pub(super) index: u8,
    pub(super) number: u64,
}

/// The folder of one supernode and one beginning of its cold tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder(String);

impl Folder {
    pub(super) fn new(prefix: &str, peer: &PeerId, place: u64) -> Self {
        let before = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self(format!("{before}{peer}/{place:016x}"))
    }

    pub(super) fn marker(&self) -> Path {
        Path::from(format!("{}/{MARKER}", self.0))
    }

    pub(super) fn shards(&self) -> Path {
        Path::from(format!("{}/{SHARDS}", self.0))
    }

    pub(super) fn path(&self, name: &Name) -> Path {
        let Name { object, index, number } = name;
        Path::from(format!("{}/{SHARDS}/{object}/{index}-{number:016x}", self.0))
    }

    /// The shard that `path` is the path of; none if somebody else put it there.
    pub(super) fn name(&self, path: &Path) -> Option<Name> {
        let rest = path.as_ref().strip_prefix(&self.0)?.strip_prefix('/')?.strip_prefix(SHARDS)?;
        let (object, rest) = rest.strip_prefix('/')?.split_once('/')?;
        let (index, number) = rest.split_once('-')?;
        let number = u64::from_str_radix(number, 16).ok()?;
        let name = Name { object: object.parse().ok()?, index: index.parse().ok()?, number };
        (self.path(&name) == *path).then_some(name)
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(prefix: &str) -> Folder {
        Folder::new(prefix, &PeerId::from_bytes([1; 32]), 7)
    }

    proptest! {
        #[test]
        fn a_path_leads_back_to_its_shard(object: [u8; 32], index: u8, number: u64, prefix in "|cosmic|a/b-c") {
            let name = Name { object: ObjectId::from_bytes(object), index, number };
            let folder = folder(&prefix);
            prop_assert_eq!(folder.name(&folder.path(&name)), Some(name));
            prop_assert_eq!(Folder::new(&prefix, &PeerId::from_bytes([2; 32]), 7).name(&folder.path(&name)), None);
            prop_assert_eq!(Folder::new(&prefix, &PeerId::from_bytes([1; 32]), 8).name(&folder.path(&name)), None);
        }
    }

    #[test]
    fn what_others_put_there_is_nobodys() {
        let folder = folder("");
        let object = ObjectId::from_bytes([3; 32]);
        for strange in [
            "place".to_owned(),
            "shards/readme".to_owned(),
            format!("shards/{object}/1"),
            format!("shards/{object}/1-7"),
            format!("shards/{object}/001-0000000000000007"),
            format!("shards/{object}/1-0000000000000007/more"),
        ] {
            assert_eq!(folder.name(&Path::from(format!("{folder}/{strange}"))), None, "{strange}");
        }
    }
}
