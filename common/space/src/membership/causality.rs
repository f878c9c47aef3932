//! What was made after what: the graph of entries and the entries each one names.

/// A graph over positions; an entry's past is whatever it names, and whatever that names.
#[derive(Debug)]
pub(super) struct Causality {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Causality {
    /// The graph in which position `n` directly names the positions in the `n`th item.
    pub(super) fn new(named: impl IntoIterator<Item = Vec<usize>>) -> Self {
        let before: Vec<Vec<usize>> = named.into_iter().collect();
        let mut after = vec![Vec::new(); before.len()];
        for (position, names) in before.iter().enumerate() {
            for name in names {
                if let Some(later) = after.get_mut(*name) {
                    later.push(position);
                }
            }
        }
        Self { before, after }
    }

    /// Whether nothing was made after this position.
    pub(super) fn is_last(&self, position: usize) -> bool {
        self.after.get(position).is_none_or(Vec::is_empty)
    }

    /// For each position, whether it is one of `seeds` or has one of them in its past.
    pub(super) fn knows(&self, seeds: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut marked = vec![false; self.after.len()];
        spread(&self.after, seeds, &mut marked);
        marked
    }

    /// For each position, whether it lies in the past of one of `seeds`.
    pub(super) fn past(&self, seeds: impl IntoIterator<Item = usize>) -> Vec<bool> {
        let mut marked = vec![false; self.before.len()];
        let direct = seeds.into_iter().filter_map(|seed| self.before.get(seed)).flatten().copied();
        spread(&self.before, direct, &mut marked);
        marked
    }
}

/// Marks `seeds` and all that follows along `edges`; each position is visited once.
fn spread(edges: &[Vec<usize>], seeds: impl IntoIterator<Item = usize>, marked: &mut [bool]) {
    let mut waiting: Vec<usize> = seeds.into_iter().collect();
    while let Some(position) = waiting.pop() {
        match marked.get_mut(position) {
            Some(mark) if !*mark => *mark = true,
            Some(_) | None => continue,
        }
        waiting.extend(edges.get(position).into_iter().flatten());
    }
}
