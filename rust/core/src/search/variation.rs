//! How a child differs from its parents: uniform crossover, single-rank steps and resets.

use rand::Rng;

use super::{Domain, Stream, below};

/// The operators for one space.
#[derive(Debug)]
pub(super) struct Variation {
    cardinalities: Vec<usize>,
    ordinal: Vec<bool>,
    /// Parameters with more than one value: the only ones a mutation can change.
    free: Vec<usize>,
    /// Upper bounds, in 2^64ths, of the chance of at most 0, 1, 2, ... mutations.
    cumulative: Vec<u64>,
}

impl Variation {
    pub fn new<D: Domain>(domain: &D) -> Self {
        let cardinalities = domain.cardinalities().to_vec();
        let free: Vec<usize> = (0..cardinalities.len()).filter(|&i| cardinalities[i] > 1).collect();
        // Binomial(d, 1/d): the number of parameters of d that mutate when each does at a rate of 1/d.
        let d = free.len() as f64;
        let mut probability = if free.len() > 1 { (1.0 - 1.0 / d).powf(d) } else { 0.0 };
        let mut total = probability;
        let mut cumulative = vec![(total * 2_f64.powi(64)) as u64];
        for k in 1..free.len() {
            let k = k as f64;
            probability *= (d - k + 1.0) / (k * (d - 1.0));
            total += probability;
            cumulative.push((total * 2_f64.powi(64)) as u64);
        }
        let ordinal = (0..cardinalities.len()).map(|i| domain.is_ordinal(i)).collect();
        Self { cardinalities, ordinal, free, cumulative }
    }

    /// How many parameters have more than one value.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Draws a design uniformly.
    pub fn draw(&self, random: &mut Stream, design: &mut [u16]) {
        for (rank, &cardinality) in design.iter_mut().zip(&self.cardinalities) {
            *rank = below(random, cardinality) as u16;
        }
    }

    /// Draws ranks of a parameter uniformly.
    pub fn draw_column(&self, random: &mut Stream, parameter: usize, ranks: &mut [u16]) {
        // Half a random number for each: no parameter has more than 2^16 values.
        let cardinality = self.cardinalities[parameter] as u64;
        for pair in ranks.chunks_mut(2) {
            let word = random.next_u64();
            for (rank, half) in pair.iter_mut().zip([word >> 32, word & 0xffff_ffff]) {
                *rank = ((half * cardinality) >> 32) as u16;
            }
        }
    }

    /// Takes each parameter from either parent with even chances.
    pub fn cross(random: &mut Stream, mother: &[u16], father: &[u16], child: &mut [u16]) {
        for ((child, mother), father) in child.chunks_mut(64).zip(mother.chunks(64)).zip(father.chunks(64)) {
            let mut mask = random.next_u64();
            for ((rank, &left), &right) in child.iter_mut().zip(mother).zip(father) {
                *rank = if mask & 1 == 1 { left } else { right };
                mask >>= 1;
            }
        }
    }

    /// How many parameters mutate where each does at a rate of 1/d, by a random number.
    pub fn mutations(&self, chance: u64) -> usize {
        self.cumulative.iter().take_while(|&&bound| chance >= bound).count()
    }

    /// Changes as many parameters as mutate at a rate of 1/d, drawn with replacement.
    pub fn mutate(&self, random: &mut Stream, design: &mut [u16]) {
        for _ in 0..self.mutations(random.next_u64()) {
            self.change_one(random, design);
        }
    }

    /// Changes one parameter: with even chances by a step to a neighbouring rank, where it is ordinal, or to
    /// any other rank.
    pub fn change_one(&self, random: &mut Stream, design: &mut [u16]) {
        if let Some((parameter, rank)) = self.change(random, |parameter| design[parameter]) {
            design[parameter] = rank;
        }
    }

    /// A parameter and its new rank, for a change of one.
    #[inline]
    pub fn change(&self, random: &mut Stream, rank: impl Fn(usize) -> u16) -> Option<(usize, u16)> {
        // One random number for all: 24 bits for the parameter, of at most 64, 32 for the rank, of at most 2^16, and
        // a coin for each of two choices.
        let word = random.next_u64();
        let parameter = *self.free.get((((word >> 40) * self.free.len() as u64) >> 24) as usize)?;
        let (rank, last) = (usize::from(rank(parameter)), self.cardinalities[parameter] - 1);
        let up = rank == 0 || rank != last && word & 2 == 2;
        let neighbour = if up { rank + 1 } else { rank - 1 };
        let other = (((word >> 8 & 0xffff_ffff) * last as u64) >> 32) as usize;
        let other = other + usize::from(other >= rank);
        let changed = if self.ordinal[parameter] && word & 1 == 1 { neighbour } else { other };
        Some((parameter, changed as u16))
    }
}

/// Designs looked at for the steps that lessen violations.
const SAMPLES: usize = 32;
/// Steps drawn for one that is not past the end of a parameter's values.
const DRAWS: usize = 8;

/// Changes of one parameter that lessen the violation of some designs: what can bring a design within limits.
#[derive(Debug)]
pub(super) struct Steps {
    /// Parameter, its number of values, and whether the step is up; none where any other rank is as near.
    steps: Vec<(usize, u16, Option<bool>)>,
}

impl Steps {
    /// The steps that lessen the violation of some random design without ending it, which shows that it is graded.
    pub fn new<D: Domain>(domain: &D, variation: &Variation, random: &mut Stream) -> Self {
        let mut steps = Vec::new();
        for &parameter in &variation.free {
            let last = (variation.cardinalities[parameter] - 1) as u16;
            if variation.ordinal[parameter] {
                steps.extend([(parameter, last, Some(false)), (parameter, last, Some(true))]);
            } else {
                steps.push((parameter, last, None));
            }
        }
        let all = Self { steps };
        let width = variation.cardinalities.len();
        let mut design = vec![0; width];
        let (mut designs, mut violations) = (Vec::new(), vec![0.0; all.steps.len() + 1]);
        let mut useful = vec![false; all.steps.len()];
        for _ in 0..SAMPLES {
            variation.draw(random, &mut design);
            designs.clear();
            designs.extend_from_slice(&design);
            for &step in &all.steps {
                let slot = designs.len() + step.0;
                designs.extend_from_slice(&design);
                designs[slot] = Self::stepped(step, random, design[step.0]);
            }
            domain.violations(&designs, &mut violations);
            for (useful, &violation) in useful.iter_mut().zip(&violations[1..]) {
                *useful |= violation > 0.0 && violation < violations[0];
            }
        }
        let useful = all.steps.into_iter().zip(useful).filter(|(_, useful)| *useful);
        Self { steps: useful.map(|(step, _)| step).collect() }
    }

    /// One of the steps that changes a design: a parameter and its new rank. None where none was found.
    #[inline]
    pub fn draw(&self, random: &mut Stream, rank: impl Fn(usize) -> u16) -> Option<(usize, u16)> {
        for _ in 0..if self.steps.is_empty() { 0 } else { DRAWS } {
            let step = self.steps[below(random, self.steps.len())];
            let before = rank(step.0);
            let after = Self::stepped(step, random, before);
            if after != before {
                return Some((step.0, after));
            }
        }
        None
    }

    fn stepped((_, last, up): (usize, u16, Option<bool>), random: &mut Stream, rank: u16) -> u16 {
        match up {
            Some(true) => last.min(rank.saturating_add(1)),
            Some(false) => rank.saturating_sub(1),
            None => {
                let other = below(random, usize::from(last)) as u16;
                other + u16::from(other >= rank)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::stream;

    struct Mixed;

    impl Domain for Mixed {
        fn cardinalities(&self) -> &[usize] {
            &[9, 9, 1, 2]
        }

        fn index_of(&self, ranks: &[u16]) -> u64 {
            ranks.iter().fold(0, |index, &rank| index * 9 + u64::from(rank))
        }

        fn violation(&self, _ranks: &[u16]) -> f64 {
            0.0
        }

        fn is_ordinal(&self, parameter: usize) -> bool {
            parameter != 1
        }
    }

    const TRIALS: usize = 30_000;

    #[test]
    fn one_change_is_one_other_rank_and_steps_are_for_ordinal_parameters() {
        let variation = Variation::new(&Mixed);
        let mut random = stream(0, 0, 0);
        let mut reached = [[0_usize; 9]; 4];
        for _ in 0..TRIALS {
            let mut design = [4, 4, 0, 0];
            variation.change_one(&mut random, &mut design);
            let changed: Vec<usize> = (0..4).filter(|&i| design[i] != [4, 4, 0, 0][i]).collect();
            assert_eq!(changed.len(), 1);
            reached[changed[0]][usize::from(design[changed[0]])] += 1;
        }
        assert_eq!(reached[2], [0; 9]);
        assert_eq!(reached[3][1], reached[3].iter().sum());
        let share = |parameter: usize, rank: usize| {
            reached[parameter][rank] as f64 / reached[parameter].iter().sum::<usize>() as f64
        };
        for rank in (0..9).filter(|&rank| rank != 4) {
            // Half the changes of the ordinal parameter are steps to ranks 3 and 5; the rest is even.
            let expected = if rank == 3 || rank == 5 { 0.25 + 0.0625 } else { 0.0625 };
            assert!((share(0, rank) - expected).abs() < 0.02, "ordinal rank {rank}: {}", share(0, rank));
            assert!((share(1, rank) - 0.125).abs() < 0.02, "categorical rank {rank}: {}", share(1, rank));
        }
    }

    #[test]
    fn the_number_of_mutations_is_binomial_with_mean_one() {
        let variation = Variation::new(&Mixed);
        let mut random = stream(1, 0, 0);
        let mut untouched = 0;
        for _ in 0..TRIALS {
            let mut design = [4, 4, 0, 0];
            variation.mutate(&mut random, &mut design);
            untouched += usize::from(design == [4, 4, 0, 0]);
        }
        // (2/3)^3 draw no mutation; of two on the same parameter some undo each other.
        let share = untouched as f64 / TRIALS as f64;
        assert!((0.29..0.34).contains(&share), "{share}");
    }
}
