//! Iterated local search.

use super::proposals::{Proposals, improper, stride};
use crate::Result;
use crate::search::{Domain, Interrupt, Merit, Optimizer, Scored, Stream, below};

/// How a [`LocalSearch`] search runs.
#[derive(Debug, Clone)]
pub struct LocalSearchOptions {
    /// Local searches at a time, at least 1; more of them run where the first batch is larger than their
    /// neighbourhoods.
    pub walkers: usize,
    /// Parameters that a kick changes, at least 1, drawn with replacement; as many as have more than one value at most,
    /// whatever is asked for.
    pub kick: usize,
    /// Kicked designs of which the best is where a walker goes on from, at least 1.
    pub samples: usize,
    /// Kicks in a row that may lead to nothing better before a walker starts over, at least 1.
    pub patience: usize,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for LocalSearchOptions {
    fn default() -> Self {
        Self { walkers: 8, kick: 4, samples: 16, patience: 60, seed: 0 }
    }
}

/// One local search.
#[derive(Debug)]
struct Walker {
    /// Where it stands.
    ranks: Vec<u16>,
    merit: Merit,
    /// The local optimum that kicks start from.
    home: Vec<u16>,
    home_merit: Merit,
    /// Its neighbours' order, first + k stride, and how many were looked at.
    first: usize,
    stride: usize,
    looked_at: usize,
    /// Kicks since `home` was last improved.
    failures: usize,
    /// Whether it waits for the scores of kicked designs.
    kicked: bool,
}

/// Iterated local search (Lourenço, Martin and Stützle, 2003) in the neighbourhood of designs that differ in one
/// parameter, by any number of ranks.
///
/// In every batch each walker is given its share of designs: neighbours of where it stands, in random order,
/// that were not visited before. It moves to the best of them where that is better: a small share makes this
/// first improvement, one as large as the neighbourhood best improvement. A walker without further neighbours is
/// in a local optimum; that becomes its home unless it is worse than the one before. The walker is then kicked:
/// the best of `samples` designs, each `kick` changes from home, is where it goes on. After `patience` kicks
/// in a row from a home that stays as it is, it moves to the home of the better of two walkers drawn at random, or
/// to a random design where it is itself that one. Shares that the neighbours do not fill are filled by kicked
/// designs, and counted like neighbours.
///
/// The first designs are random, and the walkers start from the best of them. Neighbours that were visited
/// before, by any walker, are passed over, as are those with a known violation; a kicked design that was
/// visited changes in one more parameter.
#[derive(Debug)]
pub struct LocalSearch<D> {
    options: LocalSearchOptions,
    proposals: Proposals<D>,
    /// All steps to a neighbour: a parameter, and how many ranks it goes up, past the last to the first.
    steps: Vec<(u16, u16)>,
    walkers: Vec<Walker>,
    /// Whether batches are still random.
    founding: bool,
    /// Whose turn it is.
    next: usize,
    crew: usize,
}

impl Walker {
    fn new(ranks: &[u16], merit: Merit) -> Self {
        Self {
            ranks: ranks.to_vec(),
            merit,
            home: ranks.to_vec(),
            home_merit: merit,
            first: 0,
            stride: 1,
            looked_at: 0,
            failures: 0,
            kicked: false,
        }
    }

    /// Goes to a design, with its neighbours yet to look at.
    fn go_to(&mut self, ranks: &[u16], merit: Merit, steps: usize, random: &mut Stream) {
        self.ranks.copy_from_slice(ranks);
        (self.merit, self.kicked, self.looked_at) = (merit, false, 0);
        if steps > 0 {
            self.first = below(random, steps);
            self.stride = stride(random, steps);
        }
    }
}

impl<D: Domain> LocalSearch<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: LocalSearchOptions) -> Result<Self> {
        for (name, value) in [
            ("walkers", options.walkers),
            ("kick", options.kick),
            ("samples", options.samples),
            ("patience", options.patience),
        ] {
            if value == 0 {
                return Err(improper(name, value, "at least 1"));
            }
        }
        let proposals = Proposals::new(domain, options.seed, 1)?;
        let steps = |(parameter, &cardinality): (usize, &usize)| {
            (1..cardinality).map(move |up| (parameter as u16, up as u16))
        };
        let steps = proposals.domain.cardinalities().iter().enumerate().flat_map(steps).collect();
        Ok(Self {
            proposals,
            crew: options.walkers,
            options,
            steps,
            walkers: Vec::new(),
            founding: true,
            next: 0,
        })
    }

    /// Fills the batch by the walkers' neighbours and kicked designs.
    fn explore(&mut self, missing: usize) {
        let count = self.walkers.len();
        let share = missing.div_ceil(count);
        let mut random = self.proposals.plans();
        let mut neighbour = vec![0; self.proposals.width()];
        let mut left = missing;
        let mut kicks = Vec::new();
        for turn in 0..count {
            let slot = (self.next + turn) % count;
            let walker = &mut self.walkers[slot];
            let mut given = 0;
            while given < share.min(left) && !walker.kicked && walker.looked_at < self.steps.len() {
                let step = (walker.first + walker.looked_at * walker.stride) % self.steps.len();
                walker.looked_at += 1;
                let (parameter, up) = self.steps[step];
                let parameter = usize::from(parameter);
                neighbour.copy_from_slice(&walker.ranks);
                let rank = usize::from(neighbour[parameter]) + usize::from(up);
                neighbour[parameter] = (rank % self.proposals.domain.cardinalities()[parameter]) as u16;
                given += usize::from(self.proposals.admit(&neighbour, slot as u32));
            }
            left -= given;
            if given > 0 || left == 0 {
                continue;
            }
            if !walker.kicked {
                walker.failures = if walker.merit < walker.home_merit { 0 } else { walker.failures + 1 };
                if walker.merit <= walker.home_merit {
                    walker.home.copy_from_slice(&walker.ranks);
                    walker.home_merit = walker.merit;
                }
                walker.kicked = true;
                if walker.failures > self.options.patience {
                    walker.failures = 0;
                    self.start_over(slot, &mut random);
                }
            }
            let samples = self.options.samples.min(left);
            kicks.resize(kicks.len() + samples, slot as u32);
            left -= samples;
        }
        kicks.extend((0..left).map(|i| ((self.next + i) % count) as u32));
        self.next = (self.next + 1) % count;
        let walkers = &self.walkers;
        let kick = self.options.kick.min(self.proposals.variation.free());
        self.proposals.propose(&kicks, |variation, random, slot, _, kicked| {
            let walker = &walkers[slot as usize];
            kicked.copy_from_slice(if walker.kicked { &walker.home } else { &walker.ranks });
            for _ in 0..kick {
                variation.change_one(random, kicked);
            }
        });
    }

    /// Gives a walker another home.
    fn start_over(&mut self, slot: usize, random: &mut Stream) {
        let (a, b) = (below(random, self.walkers.len()), below(random, self.walkers.len()));
        let better = if self.walkers[b].home_merit < self.walkers[a].home_merit { b } else { a };
        if better == slot {
            let walker = &mut self.walkers[slot];
            self.proposals.variation.draw(random, &mut walker.home);
            walker.home_merit = Merit::WORST;
        } else {
            self.walkers[slot].home = self.walkers[better].home.clone();
            self.walkers[slot].home_merit = self.walkers[better].home_merit;
        }
    }
}

impl<D: Domain + Send> Optimizer for LocalSearch<D> {
    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let missing = self.proposals.open(n)?;
        let founding = self.founding || self.walkers.is_empty();
        if founding {
            self.crew = self.options.walkers.max(n / self.steps.len().max(1));
            self.founding = self.proposals.draw(missing, None) == missing;
        } else {
            self.explore(missing);
        }
        let start: Vec<u16> = self.walkers.iter().flat_map(|walker| walker.home.iter().copied()).collect();
        self.proposals.issue(n, founding, &start, ranks)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        let proposals = &mut self.proposals;
        proposals.ledger.close(&proposals.domain, scores, violations)?;
        let mut random = proposals.decisions();
        let steps = self.steps.len();
        let founding = self.founding || proposals.unproposed();
        let mut best: Vec<Option<(Merit, &[u16])>> = vec![None; self.walkers.len()];
        let mut strangers = Vec::new();
        for (slot, ranks, merit) in proposals.told() {
            match slot {
                Some(slot) if best[slot].is_none_or(|(least, _)| merit < least) => {
                    best[slot] = Some((merit, ranks));
                }
                Some(_) => {}
                None => strangers.push((merit, ranks)),
            }
        }
        for (walker, best) in self.walkers.iter_mut().zip(best) {
            if let Some((merit, ranks)) = best.filter(|&(merit, _)| walker.kicked || merit < walker.merit) {
                walker.go_to(ranks, merit, steps, &mut random);
            }
        }
        strangers.sort_by_key(|&(merit, _)| merit);
        for (merit, ranks) in strangers {
            if founding && self.walkers.len() < self.crew {
                self.walkers.push(Walker::new(ranks, merit));
                if let Some(walker) = self.walkers.last_mut() {
                    walker.go_to(ranks, merit, steps, &mut random);
                }
            } else if let Some(worst) = self.walkers.iter_mut().max_by_key(|walker| walker.merit)
                && merit < worst.merit
            {
                worst.go_to(ranks, merit, steps, &mut random);
            } else {
                break;
            }
        }
        self.founding &= self.walkers.len() < self.crew;
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.proposals.ledger.start_with(&self.proposals.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.proposals.ledger.best()
    }
}
