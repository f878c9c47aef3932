//! What everybody answers to one asking, and what that comes to for each object.

use std::collections::{BTreeMap, BTreeSet};

use cosmic_common::id::ObjectId;
use cosmic_custody::Deletion as Signed;

/// What one supernode answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The objects it kept anything of, before it was asked to remove them; none if it did not say.
    pub(super) kept: Option<BTreeSet<ObjectId>>,
    /// The objects it was asked to remove.
    pub(super) asked: BTreeSet<ObjectId>,
    /// Whether it answered that.
    pub(super) heard: bool,
    /// Its signed word, with the bytes.
    pub(super) deleted: BTreeMap<ObjectId, (Signed, Vec<u8>)>,
}

/// What all answers say of one object.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Members that still keep something.
    pub(super) keeping: u32,
    /// Members that kept something when they were asked what they have.
    pub(super) kept: u32,
    /// Members that do not say what they have.
    pub(super) silent: u32,
    /// Members that were to be asked to remove it and did not answer.
    pub(super) unheard: u32,
    /// Of those who were asked to remove it, who have not signed.
    pub(super) owing: u32,
}

impl Tally {
    pub(super) fn count(&mut self, object: &ObjectId, answered: &Answered) {
        let Some(kept) = &answered.kept else {
            self.silent += 1;
            self.unheard += 1;
            return;
        };
        let (has, signed) = (kept.contains(object), answered.deleted.contains_key(object));
        self.kept += u32::from(has);
        self.keeping += u32::from(has && !signed);
        if answered.asked.contains(object) {
            self.owing += u32::from(!signed);
            self.unheard += u32::from(!answered.heard);
        }
    }

    /// Nobody had anything when he was asked: what was given to somebody meanwhile would have shown.
    pub(super) const fn is_done(&self) -> bool {
        self.kept == 0 && self.silent == 0 && self.owing == 0
    }
}
