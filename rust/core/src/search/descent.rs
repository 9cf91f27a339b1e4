//! Finds designs that meet tight constraints, by evolution on the known violation alone.

use rustc_hash::FxHashSet;

use super::ledger::Ledger;
use super::sampler::Misses;
use super::variation::Variation;
use super::{Domain, Stream, below, known_violation};

/// Candidates looked at in all.
const BUDGET: usize = 2_000_000;
/// Candidates without progress after which the population is drawn afresh.
const STALL: usize = 20_000;
const POPULATION: usize = 128;
/// Candidates between looks for an interrupt.
const INTERRUPTIBLE: usize = 4096;

/// A steady-state genetic algorithm; adds up to `n` unvisited designs without a known violation to the batch.
///
/// The first population is the end of `start`, filled up with random designs. Returns the misses.
pub(super) fn descend<D: Domain>(
    domain: &D,
    variation: &Variation,
    random: &mut Stream,
    start: &[u16],
    n: usize,
    ledger: &mut Ledger,
) -> Misses {
    let width = domain.cardinalities().len();
    let mut population = start[start.len().saturating_sub(POPULATION * width)..].to_vec();
    let mut violations = vec![0.0; population.len() / width];
    let mut seen: FxHashSet<u64> = population.chunks(width).map(|ranks| domain.index_of(ranks)).collect();
    let mut misses = Misses::default();
    let (mut lowest, mut stalled, mut found) = (f64::INFINITY, 0, 0);
    let mut child = vec![0; width];
    for candidate in 1..=BUDGET {
        if candidate % INTERRUPTIBLE == 0 && ledger.interrupt.is_due() {
            break;
        }
        if stalled == STALL {
            population.clear();
            violations.clear();
            (lowest, stalled) = (f64::INFINITY, 0);
        }
        let growing = violations.len() < POPULATION;
        if growing {
            variation.draw(random, &mut child);
        } else {
            let mut parent = || {
                let (a, b) = (below(random, POPULATION), below(random, POPULATION));
                &population[if violations[a] <= violations[b] { a } else { b } * width..][..width]
            };
            let (mother, father) = (parent(), parent());
            Variation::cross(random, mother, father, &mut child);
            variation.mutate(random, &mut child);
        }
        let mut index = domain.index_of(&child);
        for _ in 0..4 {
            if !seen.contains(&index) {
                break;
            }
            variation.change_one(random, &mut child);
            index = domain.index_of(&child);
        }
        stalled += 1;
        if !seen.insert(index) {
            continue;
        }
        let violation = known_violation(domain, &child);
        if violation == 0.0 && ledger.admit(index, &child) {
            found += 1;
            stalled = 0;
            if found == n {
                return misses;
            }
        }
        misses.note(violation, &child);
        if violation < lowest {
            (lowest, stalled) = (violation, 0);
        }
        if growing {
            population.extend_from_slice(&child);
            violations.push(violation);
        } else {
            // The child takes the place of the worse of two.
            let (a, b) = (below(random, POPULATION), below(random, POPULATION));
            let loser = if violations[a] > violations[b] { a } else { b };
            if violation <= violations[loser] {
                population[loser * width..][..width].copy_from_slice(&child);
                violations[loser] = violation;
            }
        }
    }
    misses
}
