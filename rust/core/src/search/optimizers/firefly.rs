//! Firefly search by the Eagle Strategy.

use rand::Rng;

use super::proposals::{Population, Proposals, improper, stride, unit};
use crate::Result;
use crate::search::{Domain, Interrupt, Merit, Optimizer, Scored, Stream, below};

/// The most that a fly's perturbation grows to.
const LARGEST: f64 = 0.5;
/// A fly with less than this leaves.
const SMALLEST: f64 = 1e-3;
/// Categories change at this multiple of the perturbation.
const CATEGORICAL: f64 = 25.0;
/// Designs of one batch that count against a fly at most: it is not to leave after a single large batch.
const MOST_FAILURES: i32 = 8;
/// How fast a pull fades with the squared distance in ordinal and in categorical parameters.
const FADING: [f64; 2] = [30.0, 2.0];

/// How a [`Firefly`] search runs.
#[derive(Debug, Clone)]
pub struct FireflyOptions {
    /// Number of flies, at least 2; by default min(10 + (d^1.2 + d) / 2, 1000) for d parameters.
    pub flies: Option<usize>,
    /// Share of the way to a better fly at its place that a fly is pulled, above 0 and at most 1.
    pub gravity: f64,
    /// A new fly's perturbation, from 0.001 to 0.5.
    pub perturbation: f64,
    /// What the perturbation is multiplied by for each design that is no better, above 0 and below 1.
    pub penalty: f64,
    /// The same seed asks for the same designs.
    pub seed: u64,
}

impl Default for FireflyOptions {
    fn default() -> Self {
        Self { flies: None, gravity: 1.0, perturbation: 0.1, penalty: 0.9, seed: 0 }
    }
}

/// The Eagle Strategy (Yang and Deb, 2010) for discrete and categorical parameters, as in Google Vizier's designer:
/// a firefly algorithm whose flies leave when they have long not got better.
///
/// Fly x proposes y, which starts as x. Every better fly z, in random order, pulls it by
/// w = gravity exp(-30 D): ordinal ranks go to y + w (z - y), rounded, with D the mean squared distance of y and z
/// over these parameters as shares of their ranges; categories to z's at a chance of w = gravity exp(-2 D), with D
/// the share of categories that differ. Then y is perturbed by Laplace numbers l, scaled to a largest one of 1: an ordinal
/// rank of c by 10 p l (c - 1) / c, rounded, a category at a chance of 25 p |l|, p being the fly's perturbation.
///
/// A fly moves to a better proposal. For every other one, 8 of a batch at most, its p is multiplied by
/// `penalty`; below 0.001 it leaves, unless it is the best, and a random design takes its place. A proposal that
/// was visited changes in one more parameter, up to 4 times; after that, or with a known violation, it is made
/// anew at a p of 0.5.
///
/// Other than in the published form, worse flies do not repel (its 0.02 rounds away in up to 25 ranks), ordinal
/// pulls fade as its continuous ones do (30 for 10), ordinal ranks are perturbed by a tenth as much, and p grows for
/// the proposal alone, not for the fly.
///
/// Batches go through the flies in turn; in one larger than their number each proposes several designs, of which
/// it takes the best. The first designs are random, the best of them the first flies.
#[derive(Debug)]
pub struct Firefly<D> {
    options: FireflyOptions,
    proposals: Proposals<D>,
    size: usize,
    ordinal: Vec<bool>,
    /// Numbers of ordinal and of categorical parameters.
    kinds: [usize; 2],
    flies: Population,
    perturbations: Vec<f64>,
    /// Whether batches are still random.
    founding: bool,
    /// Whose turn it is.
    next: usize,
}

/// A Laplace number of scale 1.
fn laplace(random: &mut Stream) -> f64 {
    let bits = random.next_u64();
    // Never 0, the logarithm of which would be no number.
    let size = -(((bits >> 12) as f64 + 0.5) * 2_f64.powi(-52)).ln();
    if bits & 1 == 1 { size } else { -size }
}

impl<D: Domain> Firefly<D> {
    /// A search of `domain`.
    pub fn new(domain: D, options: FireflyOptions) -> Result<Self> {
        let d = domain.cardinalities().len() as f64;
        let usual = (10 + f64::midpoint(d.powf(1.2), d).round() as usize).min(1000);
        let size = options.flies.unwrap_or(usual);
        if size < 2 {
            return Err(improper("flies", size, "at least 2"));
        }
        if !(options.gravity > 0.0 && options.gravity <= 1.0) {
            return Err(improper("gravity", options.gravity, "above 0 and at most 1"));
        }
        if !(SMALLEST..=LARGEST).contains(&options.perturbation) {
            return Err(improper("perturbation", options.perturbation, "from 0.001 to 0.5"));
        }
        if !(options.penalty > 0.0 && options.penalty < 1.0) {
            return Err(improper("penalty", options.penalty, "above 0 and below 1"));
        }
        let ordinal: Vec<bool> = (0..domain.cardinalities().len()).map(|i| domain.is_ordinal(i)).collect();
        let ordinals = ordinal.iter().filter(|&&ordinal| ordinal).count();
        Ok(Self {
            proposals: Proposals::new(domain, options.seed, 1)?,
            options,
            size,
            kinds: [ordinals, ordinal.len() - ordinals],
            ordinal,
            flies: Population::default(),
            perturbations: Vec::new(),
            founding: true,
            next: 0,
        })
    }

    fn fly(&mut self, missing: usize) {
        let (flies, ordinal, perturbations) = (&self.flies, &self.ordinal, &self.perturbations);
        let size = flies.len();
        let turns: Vec<u32> = (0..missing).map(|i| ((self.next + i) % size) as u32).collect();
        self.next = (self.next + missing) % size;
        // Better flies come first.
        let mut ranking: Vec<usize> = (0..size).collect();
        ranking.sort_unstable_by_key(|&slot| (flies.merits[slot], slot));
        let better: Vec<usize> = (0..size)
            .map(|slot| ranking.partition_point(|&other| flies.merits[other] < flies.merits[slot]))
            .collect();
        let last: Vec<f64> = self.proposals.domain.cardinalities().iter().map(|&c| c as f64 - 1.0).collect();
        let gravity = self.options.gravity;
        let kinds = self.kinds.map(|count| count.max(1) as f64);
        let inverse: Vec<f64> = last.iter().map(|&last| 1.0 / last).collect();
        // Beyond this squared distance a pull moves no rank by half a rank, which rounds to none.
        let widest = last.iter().fold(1.0_f64, |widest, &last| widest.max(last));
        let reach = kinds[0] / FADING[0] * (2.0 * gravity * widest).ln();
        self.proposals.propose(&turns, |variation, random, slot, attempt, y| {
            let slot = slot as usize;
            if flies.merits[slot] == Merit::WORST {
                variation.draw(random, y);
                return;
            }
            y.copy_from_slice(flies.row(slot));
            let rivals = &ranking[..better[slot]];
            // From a random one on, at a random stride that comes past all before it returns.
            let mut at = below(random, rivals.len().max(1));
            let stride = stride(random, rivals.len());
            for _ in rivals {
                let z = flies.row(rivals[at]);
                at += stride;
                at -= if at >= rivals.len() { rivals.len() } else { 0 };
                let mut distances = [0.0; 2];
                for i in 0..y.len() {
                    if y[i] == z[i] {
                    } else if ordinal[i] {
                        let share = (f64::from(z[i]) - f64::from(y[i])) * inverse[i];
                        distances[0] += share * share;
                    } else {
                        distances[1] += 1.0;
                    }
                }
                let pull = |kind: usize| gravity * (-FADING[kind] * distances[kind] / kinds[kind]).exp();
                if distances[0] > 0.0 && distances[0] <= reach {
                    let pull = pull(0);
                    for i in 0..y.len() {
                        if ordinal[i] && y[i] != z[i] {
                            let to = f64::from(y[i]) + pull * (f64::from(z[i]) - f64::from(y[i]));
                            y[i] = to.round() as u16;
                        }
                    }
                }
                if distances[1] > 0.0 {
                    let pull = pull(1);
                    for i in 0..y.len() {
                        if !ordinal[i] && y[i] != z[i] && unit(random) < pull {
                            y[i] = z[i];
                        }
                    }
                }
            }
            let p = if attempt == 0 { perturbations[slot] } else { LARGEST };
            perturb(random, y, &last, ordinal, p);
        });
    }
}

fn perturb(random: &mut Stream, design: &mut [u16], last: &[f64], ordinal: &[bool], p: f64) {
    const ROOM: usize = 16;
    let mut room = [0.0; ROOM];
    let mut more = Vec::new();
    let noise = if design.len() <= ROOM {
        &mut room[..design.len()]
    } else {
        more.resize(design.len(), 0.0);
        &mut more[..]
    };
    let mut largest = 0.0_f64;
    for number in noise.iter_mut() {
        *number = laplace(random);
        largest = largest.max(number.abs());
    }
    for (i, number) in noise.iter().enumerate() {
        let number = number / largest;
        if ordinal[i] {
            let shift = 10.0 * p * number * last[i] / (last[i] + 1.0);
            design[i] = (f64::from(design[i]) + shift).round().clamp(0.0, last[i]) as u16;
        } else if unit(random) < CATEGORICAL * p * number.abs() {
            design[i] = below(random, last[i] as usize + 1) as u16;
        }
    }
}

impl<D: Domain + Send> Optimizer for Firefly<D> {
    fn heed(&mut self, interrupt: Interrupt) {
        self.proposals.ledger.interrupt = interrupt;
    }

    fn ask(&mut self, n: usize, ranks: &mut Vec<u16>) -> Result<usize> {
        let missing = self.proposals.open(n)?;
        let founding = self.founding || self.flies.len() == 0;
        if founding {
            self.founding = self.proposals.draw(missing, None) == missing;
        } else {
            self.fly(missing);
        }
        self.proposals.issue(n, founding, &self.flies.ranks, ranks)
    }

    fn tell(&mut self, scores: &[f64], violations: &[f64]) -> Result<()> {
        let proposals = &mut self.proposals;
        proposals.ledger.close(&proposals.domain, scores, violations)?;
        if self.founding || self.flies.len() == 0 {
            self.flies.found(&proposals.ledger, self.size);
            self.perturbations.resize(self.flies.len(), self.options.perturbation);
            self.founding &= self.flies.len() < self.size;
            return Ok(());
        }
        // Designs that did not better each fly; none where one did.
        let mut failures = vec![Some(0); self.flies.len()];
        for (slot, ranks, merit) in proposals.told() {
            let stranger = slot.is_none();
            let Some(slot) = slot.or_else(|| self.flies.worst()) else { continue };
            if merit < self.flies.merits[slot] {
                if self.flies.merits[slot] == Merit::WORST || stranger {
                    self.perturbations[slot] = self.options.perturbation;
                }
                self.flies.set(slot, ranks, merit);
                failures[slot] = None;
            } else if let Some(count) = &mut failures[slot] {
                *count += i32::from(!stranger);
            }
        }
        let best = (0..self.flies.len()).min_by_key(|&slot| self.flies.merits[slot]);
        for (slot, count) in failures.into_iter().enumerate() {
            self.perturbations[slot] *= self.options.penalty.powi(count.unwrap_or(0).min(MOST_FAILURES));
            if self.perturbations[slot] < SMALLEST {
                self.perturbations[slot] = self.options.perturbation;
                if Some(slot) != best {
                    self.flies.merits[slot] = Merit::WORST;
                }
            }
        }
        Ok(())
    }

    fn start_with(&mut self, designs: &[u16]) -> Result<usize> {
        self.proposals.ledger.start_with(&self.proposals.domain, designs)
    }

    fn best(&self) -> Option<&Scored> {
        self.proposals.ledger.best()
    }
}
