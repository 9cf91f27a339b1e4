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

    /// Draws a design uniformly.
    pub fn draw(&self, random: &mut Stream, design: &mut [u16]) {
        for (rank, &cardinality) in design.iter_mut().zip(&self.cardinalities) {
            *rank = below(random, cardinality) as u16;
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

    /// Changes as many parameters as mutate at a rate of 1/d, drawn with replacement.
    pub fn mutate(&self, random: &mut Stream, design: &mut [u16]) {
        let chance = random.next_u64();
        for _ in self.cumulative.iter().take_while(|&&bound| chance >= bound) {
            self.change_one(random, design);
        }
    }

    /// Changes one parameter: with even chances by a step to a neighbouring rank, where it is ordinal, or to any
    /// other rank.
    pub fn change_one(&self, random: &mut Stream, design: &mut [u16]) {
        if self.free.is_empty() {
            return;
        }
        let parameter = self.free[below(random, self.free.len())];
        let (rank, last) = (design[parameter] as usize, self.cardinalities[parameter] - 1);
        let coin = random.next_u64();
        let changed = if self.ordinal[parameter] && coin & 1 == 1 {
            let up = if rank == 0 || rank == last { rank == 0 } else { coin & 2 == 2 };
            if up { rank + 1 } else { rank - 1 }
        } else {
            let other = below(random, last);
            other + usize::from(other >= rank)
        };
        design[parameter] = changed as u16;
    }
}
