//! A space whose whole truth is known by enumeration, and many of its kind.

// Each test file is a crate of its own, and none uses all of this.
#![allow(dead_code)]

use std::collections::BTreeSet;

use prime_fast_core::search::Domain;
use proptest::prelude::*;

/// A space with one graded constraint: the sum of the ranks' distances from a centre is at most
/// `most`.
#[derive(Debug, Clone)]
pub struct Space {
    pub cardinalities: Vec<usize>,
    pub centre: Vec<u16>,
    pub most: f64,
    pub graded: bool,
}

impl Space {
    pub fn free(cardinalities: &[usize]) -> Self {
        Self {
            cardinalities: cardinalities.to_vec(),
            centre: vec![0; cardinalities.len()],
            most: f64::INFINITY,
            graded: true,
        }
    }

    pub fn designs(&self) -> impl Iterator<Item = Vec<u16>> + '_ {
        let size: usize = self.cardinalities.iter().product();
        (0..size).map(|mut number| {
            let mut digit = |&cardinality: &usize| {
                let rank = number % cardinality;
                number /= cardinality;
                rank as u16
            };
            self.cardinalities.iter().map(&mut digit).collect()
        })
    }

    pub fn feasible(&self) -> BTreeSet<u64> {
        let feasible = self.designs().filter(|design| self.violation(design) <= 0.0);
        feasible.map(|design| self.index_of(&design)).collect()
    }
}

impl Domain for Space {
    fn cardinalities(&self) -> &[usize] {
        &self.cardinalities
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        assert!(ranks.iter().zip(&self.cardinalities).all(|(&rank, &c)| usize::from(rank) < c), "{ranks:?}");
        let digits = ranks.iter().zip(&self.cardinalities);
        digits.fold(0, |index, (&rank, &cardinality)| index * cardinality as u64 + u64::from(rank))
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        let distance: u32 = ranks.iter().zip(&self.centre).map(|(a, &b)| u32::from(a.abs_diff(b))).sum();
        let excess = f64::from(distance) - self.most;
        if self.graded || excess <= 0.0 { excess } else { 1.0 }
    }

    fn is_ordinal(&self, parameter: usize) -> bool {
        parameter % 3 != 1
    }
}

/// Small spaces, some without a feasible design.
pub fn spaces() -> impl Strategy<Value = Space> {
    prop::collection::vec(1..=5_usize, 1..=5).prop_flat_map(|cardinalities| {
        let centre: Vec<_> = cardinalities.iter().map(|&cardinality| 0..cardinality as u16).collect();
        (Just(cardinalities), centre, -2..10_i32, any::<bool>()).prop_map(
            |(cardinalities, centre, most, graded)| Space {
                cardinalities,
                centre,
                most: f64::from(most),
                graded,
            },
        )
    })
}
