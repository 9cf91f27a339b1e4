//! Designs as one word each, ranks as its bit fields: all parameters are crossed or looked at in one operation.

use multiversion::multiversion;
use rand::Rng;

use super::{Domain, Stream};

/// Where the ranks of a space stand in a word, those of the first parameter uppermost.
///
/// Above each field a bit is free, which takes its carries. A parameter of c > 1 values takes ceil(log2 c) + 1 <=
/// 2 log2 c bits so: spaces of up to 2^64 designs fit in 128.
#[derive(Debug, Clone)]
pub(super) struct Packing {
    fields: Vec<Field>,
    /// Lowest bits of all fields, and the bits above them.
    lows: u128,
    guards: u128,
    /// Whether words have at most 64 bits.
    narrow: bool,
}

#[derive(Debug, Clone, Copy)]
struct Field {
    shift: u32,
    mask: u16,
}

impl Packing {
    pub fn new(cardinalities: &[usize]) -> Self {
        let (mut shift, mut lows, mut guards) = (0, 0, 0);
        let field = |&cardinality: &usize| {
            let bits = usize::BITS - (cardinality - 1).leading_zeros();
            let field = Field { shift, mask: ((1_u32 << bits) - 1) as u16 };
            if bits > 0 {
                lows |= 1 << shift;
                guards |= 1 << (shift + bits);
                shift += bits + 1;
            }
            field
        };
        let mut fields: Vec<Field> = cardinalities.iter().rev().map(field).collect();
        fields.reverse();
        // Fields of no bits stand where the next begins, which may be past the end.
        fields.iter_mut().filter(|field| field.mask == 0).for_each(|field| field.shift = 0);
        Self { fields, lows, guards, narrow: shift <= u64::BITS }
    }

    pub fn pack(&self, ranks: &[u16]) -> u128 {
        self.fields.iter().zip(ranks).fold(0, |word, (field, &rank)| word | u128::from(rank) << field.shift)
    }

    pub fn unpack(&self, word: u128) -> impl Iterator<Item = u16> {
        self.fields.iter().map(move |field| (word >> field.shift) as u16 & field.mask)
    }

    /// Adds designs as rows of ranks.
    pub fn unpack_all(&self, words: &[u128], ranks: &mut Vec<u16>) {
        let start = ranks.len();
        ranks.resize(start + words.len() * self.fields.len(), 0);
        rows_of(self, words, &mut ranks[start..]);
    }

    pub fn get(&self, word: u128, parameter: usize) -> u16 {
        let Field { shift, mask } = self.fields[parameter];
        (word >> shift) as u16 & mask
    }

    pub fn set(&self, word: u128, parameter: usize, rank: u16) -> u128 {
        let Field { shift, mask } = self.fields[parameter];
        let difference = ((word >> shift) as u16 ^ rank) & mask;
        word ^ u128::from(difference) << shift
    }

    /// Takes each parameter from either design with even chances.
    pub fn cross(&self, random: &mut Stream, mother: u128, father: u128) -> u128 {
        let mut bits = u128::from(random.next_u64());
        if !self.narrow {
            bits |= u128::from(random.next_u64()) << 64;
        }
        // A field whose lowest bit is drawn borrows from its guard, which leaves ones in all of it.
        let fields = (self.guards - (bits & self.lows)) & !self.guards;
        mother & fields | father & !fields
    }

    /// A number that distinct designs have distinct, in the order of their ranks: the word, where it has 64 bits, else
    /// the design's index.
    pub fn key<D: Domain>(&self, domain: &D, word: u128) -> u64 {
        if self.narrow {
            return word as u64;
        }
        let ranks: Vec<u16> = self.unpack(word).collect();
        domain.index_of(&ranks)
    }

    /// Ranks of designs: those of the first parameter, then those of the next.
    pub fn columns(&self, words: &[u128], columns: &mut Vec<u16>) {
        columns.resize(words.len() * self.fields.len(), 0);
        columns_of(self, words, columns);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
fn columns_of(packing: &Packing, words: &[u128], columns: &mut [u16]) {
    for (&Field { shift, mask }, column) in packing.fields.iter().zip(columns.chunks_exact_mut(words.len())) {
        if packing.narrow {
            for (rank, &word) in column.iter_mut().zip(words) {
                *rank = (word as u64 >> shift) as u16 & mask;
            }
        } else {
            for (rank, &word) in column.iter_mut().zip(words) {
                *rank = (word >> shift) as u16 & mask;
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
fn rows_of(packing: &Packing, words: &[u128], rows: &mut [u16]) {
    for (row, &word) in rows.chunks_exact_mut(packing.fields.len()).zip(words) {
        if packing.narrow {
            let word = word as u64;
            for (rank, field) in row.iter_mut().zip(&packing.fields) {
                *rank = (word >> field.shift) as u16 & field.mask;
            }
        } else {
            for (rank, field) in row.iter_mut().zip(&packing.fields) {
                *rank = (word >> field.shift) as u16 & field.mask;
            }
        }
    }
}

/// A domain whose designs go by the keys of their words.
#[derive(Debug)]
pub(super) struct Packed<D> {
    pub domain: D,
    pub packing: Packing,
}

impl<D: Domain> Domain for Packed<D> {
    fn cardinalities(&self) -> &[usize] {
        self.domain.cardinalities()
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        if self.packing.narrow { self.packing.pack(ranks) as u64 } else { self.domain.index_of(ranks) }
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        self.domain.violation(ranks)
    }

    fn violations(&self, designs: &[u16], violations: &mut [f64]) {
        self.domain.violations(designs, violations);
    }

    fn violations_by_parameter(&self, columns: &[u16], violations: &mut [f64]) {
        self.domain.violations_by_parameter(columns, violations);
    }

    fn is_ordinal(&self, parameter: usize) -> bool {
        self.domain.is_ordinal(parameter)
    }

    fn describe(&self, ranks: &[u16]) -> String {
        self.domain.describe(ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{below, stream};

    #[test]
    fn spaces_of_up_to_2_to_the_64_designs_fit() {
        let mixed = [vec![2; 30], vec![1, 3, 1, 5, 9, 17], vec![3; 10]].concat();
        let spaces =
            [vec![2; 64], vec![1 << 16; 4], vec![3; 40], vec![5; 27], vec![1], vec![10, 7, 1], mixed];
        for cardinalities in spaces {
            let packing = Packing::new(&cardinalities);
            let mut random = stream(0, 0, 0);
            let mut draw = || cardinalities.iter().map(|&n| below(&mut random, n) as u16).collect::<Vec<_>>();
            let rows: Vec<Vec<u16>> = (0..20).map(|_| draw()).collect();
            let words: Vec<u128> = rows.iter().map(|ranks| packing.pack(ranks)).collect();
            let (mut flat, mut columns) = (Vec::new(), Vec::new());
            packing.unpack_all(&words, &mut flat);
            packing.columns(&words, &mut columns);
            assert_eq!(flat, rows.concat());
            for (row, (ranks, &word)) in rows.iter().zip(&words).enumerate() {
                assert_eq!(packing.unpack(word).collect::<Vec<_>>(), *ranks);
                for (parameter, &rank) in ranks.iter().enumerate() {
                    assert_eq!(columns[parameter * rows.len() + row], rank);
                    assert_eq!(packing.get(word, parameter), rank);
                    let last = (cardinalities[parameter] - 1) as u16;
                    let changed = packing.set(word, parameter, last);
                    let mut expected = ranks.clone();
                    expected[parameter] = last;
                    assert_eq!(packing.pack(&expected), changed);
                }
            }
            let mut from = vec![[0_usize; 2]; cardinalities.len()];
            let (least, most): (Vec<u16>, Vec<u16>) =
                cardinalities.iter().map(|&n| (0, (n - 1) as u16)).unzip();
            for _ in 0..400 {
                let child = packing.cross(&mut random, packing.pack(&least), packing.pack(&most));
                for (parameter, rank) in packing.unpack(child).enumerate() {
                    assert!(rank == 0 || rank == most[parameter]);
                    from[parameter][usize::from(rank > 0)] += 1;
                }
            }
            for (counts, &n) in from.iter().zip(&cardinalities) {
                assert!(n == 1 || counts.iter().all(|&count| (130..270).contains(&count)), "{counts:?}");
            }
        }
    }
}
