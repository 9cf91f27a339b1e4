//! What one thread has counted and found.

use std::collections::{BTreeMap, BinaryHeap};

use super::front::Front;
use super::histogram::Histogram;
use crate::search::TIE;

/// Counts, the best designs, the front and histograms; the same for the same designs in any order and any
/// parts.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    pub designs: u64,
    pub within_limits: u64,
    /// By reason.
    pub rejected: Vec<u64>,
    pub best: Best,
    pub front: Front,
    pub histograms: Vec<Histogram>,
}

impl Tally {
    pub(super) fn new(reasons: usize, keep: usize, histograms: usize) -> Self {
        Self {
            designs: 0,
            within_limits: 0,
            rejected: vec![0; reasons],
            best: Best { keep, kept: BinaryHeap::new(), ties: BTreeMap::new(), accepted: f64::INFINITY },
            front: Front::default(),
            histograms: vec![Histogram::new(); histograms],
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.designs += other.designs;
        self.within_limits += other.within_limits;
        self.rejected.iter_mut().zip(other.rejected).for_each(|(count, more)| *count += more);
        self.best.merge(other.best);
        self.front.merge(other.front);
        self.histograms.iter_mut().zip(&other.histograms).for_each(|(one, other)| one.merge(other));
    }
}

/// A double as an integer of the same order; -0 is 0.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// The best designs, by objective and then index, and the number of those that tie with the best.
#[derive(Debug, Clone)]
pub(super) struct Best {
    keep: usize,
    /// Objective and index, the worst on top.
    kept: BinaryHeap<(u64, u64)>,
    /// Number of designs by objective, for those that may tie.
    ties: BTreeMap<u64, u64>,
    /// Objectives above this change nothing.
    accepted: f64,
}

impl Best {
    /// Objectives above this change nothing.
    pub(super) fn accepted(&self) -> f64 {
        self.accepted
    }

    pub(super) fn least(&self) -> Option<f64> {
        self.ties.first_key_value().map(|(&key, _)| value(key))
    }

    /// Takes a design whose objective is a number.
    pub(super) fn insert(&mut self, objective: f64, index: u64) {
        let design = (key(objective), index);
        self.count(design.0, 1);
        self.keep(design);
        self.accept();
    }

    fn count(&mut self, objective: u64, designs: u64) {
        if self.least().is_none_or(|least| value(objective) <= tie(least)) {
            *self.ties.entry(objective).or_default() += designs;
        }
    }

    fn keep(&mut self, design: (u64, u64)) {
        if self.kept.len() < self.keep {
            self.kept.push(design);
        } else if let Some(mut worst) = self.kept.peek_mut()
            && design < *worst
        {
            *worst = design;
        }
    }

    fn accept(&mut self) {
        let Some(least) = self.least() else { return };
        let most = tie(least);
        while self.ties.last_key_value().is_some_and(|(&key, _)| value(key) > most) {
            self.ties.pop_last();
        }
        let full = self.kept.len() == self.keep;
        let worst = self.kept.peek().filter(|_| full).map_or(f64::INFINITY, |worst| value(worst.0));
        self.accepted = worst.max(most);
    }

    fn merge(&mut self, other: Self) {
        // The least objective first, so that none counts that ties with a worse one only.
        for (objective, designs) in other.ties {
            self.count(objective, designs);
        }
        other.kept.into_iter().for_each(|design| self.keep(design));
        self.accept();
    }

    /// Number of designs that tie with the best.
    pub(super) fn ties(&self) -> u64 {
        self.ties.values().sum()
    }

    /// Index and objective of the best designs, best first.
    pub(super) fn into_sorted(self) -> Vec<(u64, f64)> {
        self.kept.into_sorted_vec().into_iter().map(|(key, index)| (index, value(key))).collect()
    }
}

/// The greatest objective that ties with the least.
fn tie(least: f64) -> f64 {
    least + least.abs() * TIE
}
