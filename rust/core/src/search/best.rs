//! The best designs of a run, kept as they come.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use rustc_hash::FxHashSet;

use super::{Domain, Merit, Scored, effective_violation};

/// A bounded heap of distinct designs, the worst on top.
#[derive(Debug)]
pub(super) struct Best {
    keep: usize,
    heap: BinaryHeap<Kept>,
    indices: FxHashSet<u64>,
}

impl Best {
    pub fn new(keep: usize) -> Self {
        Self { keep, heap: BinaryHeap::new(), indices: FxHashSet::default() }
    }

    /// Takes a design that is among the best; of one scored twice the first score stands.
    pub fn offer<D: Domain + ?Sized>(&mut self, domain: &D, ranks: &[u16], score: f64, violation: f64) {
        let merit = Merit::new(score, violation);
        let worst = self.heap.peek().filter(|_| self.heap.len() == self.keep).map(Kept::key);
        if worst.is_some_and(|worst| merit > worst.0) {
            return;
        }
        let index = domain.index_of(ranks);
        if worst.is_some_and(|worst| (merit, index) > worst) || !self.indices.insert(index) {
            return;
        }
        if worst.is_some()
            && let Some(dropped) = self.heap.pop()
        {
            self.indices.remove(&dropped.scored.index);
        }
        let violation = effective_violation(score, violation);
        self.heap.push(Kept { merit, scored: Scored { index, ranks: ranks.to_vec(), score, violation } });
    }

    pub fn sorted(&self) -> Vec<Scored> {
        let mut kept: Vec<&Kept> = self.heap.iter().collect();
        kept.sort_unstable();
        kept.into_iter().map(|kept| kept.scored.clone()).collect()
    }
}

#[derive(Debug)]
struct Kept {
    merit: Merit,
    scored: Scored,
}

impl Kept {
    fn key(&self) -> (Merit, u64) {
        (self.merit, self.scored.index)
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Kept {}
