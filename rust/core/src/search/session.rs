//! An optimiser beside all that was asked of it and told, from which it can be built again.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::track::{Record, Track};
use super::{Domain, Found, Improvement, Interrupt, Optimizer, Scored, known_violation, wrong_lengths};
use crate::{Error, Result};

/// A call of a [`Session`], with the number of designs that it was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Designs to start with.
    Start(usize),
    /// Designs to start with whose scores were known.
    Known(usize),
    /// Leave to ask for a batch while another is out.
    Ahead,
    /// Designs asked for.
    Ask(usize),
    /// Designs told.
    Tell(usize),
}

/// All calls of a session: the same calls of a new optimiser make the same session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// The calls, in order.
    pub events: Vec<Event>,
    /// Ranks of all start designs, row by row.
    pub start: Vec<u16>,
    /// Scores of the start designs that came with some.
    pub start_scores: Vec<f64>,
    /// Their violations.
    pub start_violations: Vec<f64>,
    /// The designs told.
    pub told: Record,
}

/// An optimiser, the best it has found and, on request, a journal of all calls.
#[derive(Debug)]
pub struct Session<D, O> {
    domain: D,
    optimizer: O,
    track: Track,
    /// Batches out, the first one first.
    due: VecDeque<Vec<u16>>,
    /// Where the score and violation of a start design stand in the columns below.
    known: FxHashMap<u64, usize>,
    known_scores: Vec<f64>,
    known_violations: Vec<f64>,
    journal: Option<Journal>,
    /// Whether the optimiser was interrupted in the middle of a batch.
    cut: bool,
}

impl<D: Domain + Send, O: Optimizer> Session<D, O> {
    /// A session that keeps the best `keep` designs, of an optimiser of which nothing was asked yet.
    pub fn new(domain: D, optimizer: O, keep: usize, journal: bool) -> Result<Self> {
        if keep == 0 {
            return Err(Error::Configuration("keep is 0; it must be at least 1".into()));
        }
        Ok(Self {
            domain,
            optimizer,
            track: Track::new(keep),
            due: VecDeque::new(),
            known: FxHashMap::default(),
            known_scores: Vec::new(),
            known_violations: Vec::new(),
            journal: journal.then(Journal::default),
            cut: false,
        })
    }

    /// Makes the calls of a journal, which must be of an optimiser like this one.
    pub fn replay(&mut self, journal: &Journal) -> Result<()> {
        let damaged = |what: &str| Error::Data(format!("the state of the search is damaged: {what}"));
        let (width, columns) = (self.domain.cardinalities().len(), self.optimizer.columns());
        let (mut start, mut known, mut told) = (0_usize, 0_usize, 0_usize);
        let mut ranks = Vec::new();
        for event in &journal.events {
            match *event {
                Event::Start(n) | Event::Known(n) => {
                    let end = n.checked_mul(width).and_then(|ranks| start.checked_add(ranks));
                    let designs = end.and_then(|end| journal.start.get(start..end));
                    let designs = designs.ok_or_else(|| damaged("it lacks start designs"))?;
                    start += designs.len();
                    if matches!(event, Event::Start(_)) {
                        self.start_with(designs)?;
                        continue;
                    }
                    let rows = known..known.saturating_add(n);
                    let scores = journal.start_scores.get(known * columns..rows.end.saturating_mul(columns));
                    let scored = scores.zip(journal.start_violations.get(rows));
                    let (scores, violations) = scored.ok_or_else(|| damaged("it lacks scores"))?;
                    known += n;
                    self.start_with_known(designs, scores, violations)?;
                }
                Event::Ahead => {
                    self.ask_ahead();
                }
                Event::Ask(n) => match self.ask(n, &mut ranks) {
                    Ok(_) | Err(Error::NoFeasibleDesign(_)) => {}
                    Err(error) => return Err(error),
                },
                Event::Tell(n) => {
                    let rows = told..told.saturating_add(n);
                    let scores = journal.told.scores.get(told * columns..rows.end.saturating_mul(columns));
                    let scored = scores.zip(journal.told.violations.get(rows.clone()));
                    let (scores, violations) = scored.ok_or_else(|| damaged("it lacks scores"))?;
                    let due = self.due.front().map(Vec::as_slice).unwrap_or_default();
                    let due: Vec<u64> = due.chunks(width).map(|ranks| self.domain.index_of(ranks)).collect();
                    if journal.told.indices.get(rows) != Some(&due[..]) {
                        return Err(Error::Data(format!(
                            "the state of the search does not fit: its designs {told} and following are not those \
                             that this version proposes; go on with the version that wrote it, or start with its \
                             designs"
                        )));
                    }
                    told += n;
                    self.tell(scores, violations)?;
                }
            }
        }
        let used = (start, known, told);
        if used != (journal.start.len(), journal.start_violations.len(), journal.told.violations.len()) {
            return Err(damaged("it has more designs than calls"));
        }
        Ok(())
    }

    /// Starts with designs whose scores are known: a run does not score them, nor count them.
    ///
    /// Returns how many are used: those that keep the known constraints.
    pub fn start_with_known(&mut self, designs: &[u16], scores: &[f64], violations: &[f64]) -> Result<usize> {
        let (width, columns) = (self.domain.cardinalities().len(), self.optimizer.columns());
        let n = designs.len() / width;
        if scores.len() != n * columns || violations.len() != n {
            let of = format!("given for {n} start designs");
            return Err(wrong_lengths(scores.len(), violations.len(), &of, columns));
        }
        for (row, (scores, &violation)) in scores.chunks(columns).zip(violations).enumerate() {
            if violation.is_nan() || violation <= 0.0 && scores.iter().any(|score| score.is_nan()) {
                return Err(Error::Data(format!(
                    "start design {row} has a score or violation of NaN; give numbers, or a violation above 0 \
                     where it is infeasible"
                )));
            }
        }
        let kept = self.optimizer.start_with(designs)?;
        for (row, ranks) in designs.chunks(width).enumerate() {
            if known_violation(&self.domain, ranks) > 0.0 {
                continue;
            }
            let index = self.domain.index_of(ranks);
            if self.known.contains_key(&index) {
                continue;
            }
            self.known.insert(index, self.known_violations.len());
            self.known_scores.extend_from_slice(&scores[row * columns..][..columns]);
            self.known_violations.push(violations[row]);
        }
        if let Some(journal) = &mut self.journal {
            journal.events.push(Event::Known(n));
            journal.start.extend_from_slice(designs);
            journal.start_scores.extend_from_slice(scores);
            journal.start_violations.extend_from_slice(violations);
        }
        Ok(kept)
    }

    /// As [`Optimizer::ask`], ended early once `interrupt` says so: then the session is [cut](Session::is_cut).
    pub fn ask_until(&mut self, n: usize, ranks: &mut Vec<u16>, interrupt: &Interrupt) -> Result<usize> {
        self.optimizer.heed(interrupt.clone());
        let asked = self.ask(n, ranks);
        self.optimizer.heed(Interrupt::default());
        // Not written down: when an interrupt comes can't be repeated.
        if interrupt.is_due() {
            self.cut = true;
            if let (Some(journal), Ok(_) | Err(Error::NoFeasibleDesign(_))) = (&mut self.journal, &asked) {
                journal.events.pop();
            }
        }
        asked
    }

    /// Whether a call of [`Session::ask_until`] was interrupted: what is asked from then on is not what it would have
    /// been. A new session that makes the calls of this one's journal is as this one was before that call.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether start designs came with scores.
    pub(super) fn knows_some(&self) -> bool {
        !self.known.is_empty()
    }

    /// Score and violation of a start design that came with them.
    pub(super) fn known(&self, ranks: &[u16]) -> Option<(&[f64], f64)> {
        let columns = self.optimizer.columns();
        let &row = self.known.get(&self.domain.index_of(ranks))?;
        Some((&self.known_scores[row * columns..][..columns], self.known_violations[row]))
    }

    /// The batch whose scores are due first.
    pub fn due(&self) -> Option<&[u16]> {
        self.due.front().map(Vec::as_slice)
    }

    /// Number of batches out.
    #[must_use]
    pub fn batches_due(&self) -> usize {
        self.due.len()
    }

    /// Designs told, without those that were known from the start.
    pub fn evaluations(&self) -> usize {
        self.track.evaluations
    }

    /// The feasible designs that were the best when they were told.
    pub fn history(&self) -> &[Improvement] {
        &self.track.history
    }

    /// The best distinct designs by violation, score and index.
    pub fn ranking(&self) -> Vec<Scored> {
        self.track.best.sorted()
    }

    /// All calls so far, where they are written down.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// The space that is searched.
    pub fn domain(&self) -> &D {
        &self.domain
    }
}

impl<D: Domain + Send, O: Optimizer> Optimizer for Session<D, O> {
    fn columns(&self) -> usize {
        self.optimizer.columns()
    }

    fn ask_ahead(&mut self) -> bool {
        if let Some(journal) = &mut self.journal
            && !journal.events.contains(&Event::Ahead)
        {
            journal.events.push(Event::Ahead);
        }
        self.optimizer.ask_ahead()
    }

    fn heed(&mut self, interrupt: Interrupt) {
        self.optimizer.heed(interrupt);
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let asked = self.optimizer.ask(n, ranks);
        if matches!(asked, Ok(1..)) {
            self.due.push_back(ranks.clone());
        }
        // A search for what is feasible moves the random streams on even where it finds nothing.
        if let (Some(journal), Ok(_) | Err(Error::NoFeasibleDesign(_))) = (&mut self.journal, &asked) {
            journal.events.push(Event::Ask(n));
        }
        asked
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        self.optimizer.tell(scores, violations)?;
        let ranks = self.due.pop_front().unwrap_or_default();
        let columns = self.optimizer.columns();
        self.track.note(&self.domain, &ranks, (scores, columns), violations, &self.known);
        if let Some(journal) = &mut self.journal {
            let designs = ranks.chunks_exact(self.domain.cardinalities().len());
            journal.told.indices.extend(designs.map(|ranks| self.domain.index_of(ranks)));
            journal.told.scores.extend_from_slice(scores);
            journal
                .told
                .violations
                .extend(violations.iter().map(|&amount| if amount > 0.0 { amount } else { 0.0 }));
            journal.events.push(Event::Tell(violations.len()));
        }
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        let kept = self.optimizer.start_with(designs)?;
        if let Some(journal) = &mut self.journal {
            journal.events.push(Event::Start(designs.len() / self.domain.cardinalities().len()));
            journal.start.extend_from_slice(designs);
        }
        Ok(kept)
    }

    fn best(&self) -> Option<&Scored> {
        self.optimizer.best()
    }

    fn found(&self) -> Vec<Found> {
        self.optimizer.found()
    }
}
