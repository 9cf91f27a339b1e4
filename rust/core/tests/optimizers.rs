//! What holds for every optimiser with one score a design, on spaces whose whole truth is known.

#![allow(clippy::unwrap_used)]

mod known_space;

use std::collections::BTreeSet;

use known_space::{Space, spaces};
use prime_fast_core::Error;
use prime_fast_core::search::{
    Annealing, AnnealingOptions, DifferentialEvolution, DifferentialEvolutionOptions, Domain, Firefly,
    FireflyOptions, Genetic, GeneticOptions, LocalSearch, LocalSearchOptions, Optimizer, Random,
};
use proptest::prelude::*;

type Made<'a> = Result<Box<dyn Optimizer + 'a>, Error>;

/// Every optimiser, by name, with about `size` designs that move at a time; `None` stands for its defaults.
fn optimizers<'a, D: Domain + Send + Copy + 'a>(
    domain: D,
    seed: u64,
    size: Option<usize>,
) -> Vec<(&'static str, Made<'a>)> {
    fn boxed<'a, O: Optimizer + 'a>(made: Result<O, Error>) -> Made<'a> {
        made.map(|optimizer| Box::new(optimizer) as Box<dyn Optimizer + 'a>)
    }
    let mut annealing = AnnealingOptions { seed, ..AnnealingOptions::default() };
    let mut evolution = DifferentialEvolutionOptions { seed, ..DifferentialEvolutionOptions::default() };
    let mut firefly = FireflyOptions { seed, ..FireflyOptions::default() };
    let mut genetic = GeneticOptions { seed, ..GeneticOptions::default() };
    let mut local = LocalSearchOptions { seed, ..LocalSearchOptions::default() };
    if let Some(size) = size {
        // Small searches also start over, reheat and lose flies within the tests' few evaluations.
        annealing = AnnealingOptions { chains: size, cycle: 1 + 10 * size, ..annealing };
        evolution = DifferentialEvolutionOptions { population: size.max(4), patience: 20, ..evolution };
        firefly = FireflyOptions { flies: Some(size.max(2)), penalty: 0.3, ..firefly };
        genetic.population = size;
        local = LocalSearchOptions { walkers: size, kick: 2, samples: 2, patience: 2, ..local };
    }
    vec![
        ("annealing", boxed(Annealing::new(domain, annealing))),
        ("differential evolution", boxed(DifferentialEvolution::new(domain, evolution))),
        ("firefly", boxed(Firefly::new(domain, firefly))),
        ("genetic", boxed(Genetic::new(domain, genetic))),
        ("local search", boxed(LocalSearch::new(domain, local))),
        ("random", boxed(Random::new(domain, seed))),
    ]
}

/// All designs asked for, in order, until `evaluations` are over or the optimiser hands out no more.
fn run<F>(
    optimizer: &mut dyn Optimizer,
    width: usize,
    evaluations: usize,
    batch: usize,
    mut score: F,
) -> Result<Vec<Vec<u16>>, Error>
where
    F: FnMut(&[u16]) -> (f64, f64),
{
    let (mut designs, mut ranks) = (Vec::new(), Vec::new());
    while designs.len() < evaluations {
        let n = optimizer.ask(batch.min(evaluations - designs.len()), &mut ranks)?;
        if n == 0 {
            assert!(ranks.is_empty());
            break;
        }
        assert_eq!(ranks.len(), n * width);
        designs.extend(ranks.chunks(width).map(<[u16]>::to_vec));
        let (scores, violations): (Vec<f64>, Vec<f64>) = ranks.chunks(width).map(&mut score).unzip();
        optimizer.tell(&scores, &violations)?;
    }
    Ok(designs)
}

/// A hash of the design: no structure to learn, few ties. Some designs turn out infeasible when scored.
fn rugged(index: u64) -> (f64, f64) {
    let hash = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    match hash % 8 {
        0 => (f64::NAN, (hash % 100) as f64 + 1.0),
        1 => (f64::INFINITY, 0.0),
        2 => (f64::NEG_INFINITY, 0.0),
        _ => ((hash % 1000) as f64 - 500.0, 0.0),
    }
}

const BEST: [u16; 10] = [7, 2, 3, 5, 2, 4, 3, 1, 4, 2];

fn prime() -> Space {
    Space::free(&[10, 10, 7, 10, 7, 11, 7, 4, 5, 6])
}

fn distance(design: &[u16]) -> (f64, f64) {
    (design.iter().zip(BEST).map(|(a, b)| f64::from(a.abs_diff(b))).sum(), 0.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn each_feasible_design_is_handed_out_exactly_once(
        space in spaces(),
        size in 1..20_usize,
        batch in 1..40_usize,
        seed: u64,
    ) {
        let feasible = space.feasible();
        for (name, optimizer) in optimizers(&space, seed, Some(size)) {
            let mut optimizer = optimizer.unwrap();
            let width = space.cardinalities.len();
            let designs = run(&mut *optimizer, width, 10_000, batch, |design| rugged(space.index_of(design)));
            if feasible.is_empty() {
                prop_assert!(matches!(designs, Err(Error::NoFeasibleDesign(_))), "{name}: {designs:?}");
                continue;
            }
            let designs: Vec<u64> = designs.unwrap().iter().map(|design| space.index_of(design)).collect();
            prop_assert_eq!(designs.len(), feasible.len(), "{}: a design came twice, or not", name);
            prop_assert_eq!(&designs.iter().copied().collect::<BTreeSet<_>>(), &feasible, "{}", name);
            let key = |&index: &u64| match rugged(index) {
                (f64::INFINITY, _) => (u64::MAX, 0, index),
                (_, violation) if violation > 0.0 => (violation as u64, 0, index),
                (f64::NEG_INFINITY, _) => (0, i64::MIN, index),
                (score, _) => (0, score as i64, index),
            };
            let best = optimizer.best().unwrap();
            prop_assert_eq!(Some(best.index), feasible.iter().copied().min_by_key(key), "{}", name);
            prop_assert_eq!(space.index_of(&best.ranks), best.index);
        }
    }

    #[test]
    fn no_design_comes_twice_in_a_space_too_large_to_enumerate(
        cardinalities in prop::collection::vec(1..=300_usize, 5..=7),
        share in 0.3..1.0_f64,
        batch in 1..400_usize,
        seed: u64,
    ) {
        let mut space = Space::free(&cardinalities);
        space.most = share * cardinalities.iter().map(|&cardinality| cardinality as f64).sum::<f64>();
        for (name, optimizer) in optimizers(&space, seed, Some(5)) {
            let mut seen = BTreeSet::new();
            let mut optimizer = optimizer.unwrap();
            let designs = run(&mut *optimizer, cardinalities.len(), 1200, batch, |design| {
                assert!(space.violation(design) <= 0.0, "{name}");
                assert!(seen.insert(space.index_of(design)), "{name}");
                rugged(space.index_of(design))
            });
            prop_assert_eq!(designs.unwrap().len(), 1200.min(space_size(&space)), "{}", name);
        }
    }
}

fn space_size(space: &Space) -> usize {
    let size: usize = space.cardinalities.iter().product();
    if size > 1 << 20 { usize::MAX } else { space.feasible().len() }
}

#[test]
fn the_minimum_of_a_separable_score_is_found() {
    let space = prime();
    for (name, evaluations) in [
        ("annealing", 20_000),
        ("differential evolution", 6000),
        ("firefly", 10_000),
        ("genetic", 20_000),
        ("local search", 6000),
    ] {
        let hits = (0..5).filter(|&seed| {
            let (_, optimizer) =
                optimizers(&space, seed, None).into_iter().find(|made| made.0 == name).unwrap();
            let mut optimizer = optimizer.unwrap();
            run(&mut *optimizer, 10, evaluations, 64, distance).unwrap();
            optimizer.best().unwrap().score == 0.0
        });
        let hits = hits.count();
        assert!(hits >= 4, "{name}: {hits} of 5");
    }
}

#[test]
fn batches_far_larger_than_what_moves_are_used_whole() {
    let space = prime();
    for (name, optimizer) in optimizers(&space, 1, None) {
        let mut optimizer = optimizer.unwrap();
        let mut ranks = Vec::new();
        for n in [1, 20_000, 3, 5000] {
            assert_eq!(optimizer.ask(n, &mut ranks), Ok(n), "{name}");
            let (scores, violations): (Vec<f64>, Vec<f64>) = ranks.chunks(10).map(distance).unzip();
            optimizer.tell(&scores, &violations).unwrap();
        }
    }
}

#[test]
fn a_seed_fixes_the_designs_at_any_number_of_threads() {
    let mut space = prime();
    space.most = 25.0;
    let designs = |threads, seed| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let run = |(name, optimizer): (_, Made)| {
                (name, run(&mut *optimizer.unwrap(), 10, 6000, 1500, distance).unwrap())
            };
            optimizers(&space, seed, None).into_iter().map(run).collect::<Vec<_>>()
        })
    };
    let one = designs(1, u64::MAX);
    for threads in [2, 8] {
        for (a, b) in designs(threads, u64::MAX).iter().zip(&one) {
            assert!(a == b, "{} differs at {threads} threads", a.0);
        }
    }
    for (a, b) in designs(1, 0).iter().zip(&one) {
        assert!(a != b, "{} ignores its seed", a.0);
    }
}

#[test]
fn tight_limits_are_met() {
    // 17 of 2.6e10 designs are feasible.
    let mut space = Space::free(&[20; 8]);
    (space.centre, space.most) = (vec![3, 17, 9, 0, 19, 12, 5, 8], 1.0);
    for (name, optimizer) in optimizers(&space, 0, Some(8)) {
        if name == "random" {
            continue; // It only draws.
        }
        let designs = run(&mut *optimizer.unwrap(), 8, 12, 6, |design| (f64::from(design[0]), 0.0)).unwrap();
        assert_eq!(designs.iter().collect::<BTreeSet<_>>().len(), 12, "{name}");
        assert!(designs.iter().all(|design| space.violation(design) <= 0.0), "{name}");
    }
}

#[test]
fn constraints_that_nothing_meets_are_an_error_each_time() {
    let mut space = Space::free(&[6, 6, 6]);
    (space.centre, space.most) = (vec![2, 3, 4], -0.5);
    for (name, optimizer) in optimizers(&space, 0, None) {
        let mut optimizer = optimizer.unwrap();
        for _ in 0..2 {
            let error = optimizer.ask(4, &mut Vec::new()).unwrap_err();
            let words = "of all 216 designs the nearest misses by 0.5";
            assert!(matches!(error, Error::NoFeasibleDesign(_)), "{name}: {error}");
            assert!(error.to_string().contains(words), "{name}: {error}");
        }
    }
}

#[test]
fn designs_that_all_fail_in_scoring_are_ranked_by_violation() {
    let space = Space::free(&[8; 5]);
    for (name, optimizer) in optimizers(&space, 0, None) {
        let mut optimizer = optimizer.unwrap();
        let fail = |design: &[u16]| (f64::NAN, 1.0 + design.iter().map(|&rank| f64::from(rank)).sum::<f64>());
        run(&mut *optimizer, 5, 6000, 64, fail).unwrap();
        let best = optimizer.best().unwrap();
        assert!(best.violation >= 1.0, "{name}");
        if name != "random" {
            assert_eq!((&best.ranks[..], best.violation), (&[0; 5][..], 1.0), "{name}");
        }
        assert!(optimizer.found().is_empty(), "{name}");
    }
}

#[test]
fn scores_that_are_all_the_same_end_in_exhaustion() {
    let space = Space::free(&[6, 5, 4, 3]);
    for score in [0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
        for (name, optimizer) in optimizers(&space, 7, Some(6)) {
            let designs = run(&mut *optimizer.unwrap(), 4, 10_000, 16, |_| (score, 0.0)).unwrap();
            assert_eq!(designs.iter().collect::<BTreeSet<_>>().len(), 360, "{name} at {score}");
            assert_eq!(designs.len(), 360, "{name} at {score}");
        }
    }
}

#[test]
fn a_space_of_one_design_is_scored_once() {
    for cardinalities in [&[1][..], &[1, 1, 1]] {
        let space = Space::free(cardinalities);
        for (name, optimizer) in optimizers(&space, 3, None) {
            let mut optimizer = optimizer.unwrap();
            let designs = run(&mut *optimizer, cardinalities.len(), 100, 10, |_| (4.0, 0.0)).unwrap();
            assert_eq!(designs, [vec![0; cardinalities.len()]], "{name}");
            assert_eq!(optimizer.best().map(|best| best.score), Some(4.0), "{name}");
            assert_eq!(optimizer.ask(1, &mut Vec::new()), Ok(0), "{name}");
        }
    }
}

#[test]
fn more_designs_moving_than_the_space_has_is_no_error() {
    let space = Space::free(&[3, 2, 3]);
    for (name, optimizer) in optimizers(&space, 3, Some(1000)) {
        let mut optimizer = optimizer.unwrap();
        let designs = run(&mut *optimizer, 3, 100, 7, |design| (f64::from(design[0]), 0.0)).unwrap();
        assert_eq!(designs.iter().collect::<BTreeSet<_>>().len(), 18, "{name}");
        assert_eq!(designs.len(), 18, "{name}");
    }
}

#[test]
fn start_designs_come_first_and_lead_the_search() {
    let mut space = Space::free(&[40; 6]);
    space.most = 150.0;
    for (name, optimizer) in optimizers(&space, 0, Some(8)) {
        let mut optimizer = optimizer.unwrap();
        let (good, other, bad) = ([9; 6], [3; 6], [39; 6]);
        assert_eq!(optimizer.start_with(&[good, bad, other, good].concat()), Ok(3), "{name}");
        let score = |design: &[u16]| {
            (design.iter().map(|&rank| f64::from(rank.abs_diff(10)).powi(2)).sum::<f64>(), 0.0)
        };
        let designs = run(&mut *optimizer, 6, 1000, 4, score).unwrap();
        assert_eq!(designs[..2], [good, other], "{name}");
        assert_eq!(designs.iter().collect::<BTreeSet<_>>().len(), 1000, "{name}");
        if name != "random" {
            assert!(optimizer.best().unwrap().score < 6.0, "{name} did not go on from the start design");
        }
        assert_eq!(optimizer.start_with(&good), Ok(0), "{name}: it was handed out before");
        let error = optimizer.start_with(&[1, 2]).unwrap_err();
        assert!(matches!(&error, Error::Configuration(text) if text.contains("rows of 6")), "{error}");
        let error = optimizer.start_with(&[0, 0, 40, 0, 0, 0]).unwrap_err();
        assert!(matches!(&error, Error::Data(text) if text.contains("rank 40 for parameter 2")), "{error}");
        // Start designs are handed out in the middle of a search as well.
        assert_eq!(optimizer.start_with(&[0, 39, 1, 39, 2, 38]), Ok(1), "{name}");
        let next = run(&mut *optimizer, 6, 3, 3, score).unwrap();
        assert_eq!(next[0], [0, 39, 1, 39, 2, 38], "{name}");
    }
}

#[test]
fn misuse_of_ask_and_tell_is_named_and_leaves_the_search_usable() {
    let space = Space::free(&[4, 4, 4]);
    for (name, optimizer) in optimizers(&space, 0, Some(4)) {
        let mut optimizer = optimizer.unwrap();
        let mut ranks = Vec::new();
        let fails = |result: Result<(), Error>, words: &str| {
            let error = result.unwrap_err();
            assert!(error.to_string().contains(words), "{name}: {error}");
        };
        // Also once the first random designs are over.
        for _ in 0..5 {
            fails(optimizer.tell(&[], &[]), "no designs due; call ask first");
            for n in [0, usize::MAX] {
                let asked = optimizer.ask(n, &mut ranks).map(|_| ());
                fails(asked, "designs were asked for; ask for 1 to 16777216");
            }
            assert_eq!(optimizer.ask(2, &mut ranks), Ok(2), "{name}");
            let again = optimizer.ask(2, &mut Vec::new()).map(|_| ());
            fails(again, "the scores of 2 designs are due; call tell first");
            fails(optimizer.tell(&[1.0], &[0.0, 0.0]), "1 scores and 2 violations were told for 2 designs");
            fails(optimizer.tell(&[1.0, f64::NAN], &[0.0, 0.0]), "has a score of NaN");
            fails(optimizer.tell(&[1.0, 1.0], &[0.0, f64::NAN]), "has a violation of NaN");
            optimizer.tell(&[1.0, f64::NAN], &[0.0, 2.0]).unwrap();
            assert_eq!(optimizer.best().map(|best| (best.score, best.violation)), Some((1.0, 0.0)));
        }
    }
}

#[test]
fn spaces_that_cannot_be_searched_are_named() {
    for (cardinalities, words) in [
        (vec![], "no parameters"),
        (vec![3, 0], "parameter 1 has 0 values"),
        (vec![65_537], "parameter 0 has 65537 values"),
        (vec![2; 65], "more than 2^64 designs"),
    ] {
        let space = Space::free(&cardinalities);
        for (name, optimizer) in optimizers(&space, 0, None) {
            let error = optimizer.err().unwrap();
            assert!(matches!(&error, Error::Configuration(text) if text.contains(words)), "{name}: {error}");
        }
    }
}

#[test]
fn spaces_at_the_limits_of_size_are_searched() {
    for cardinalities in [
        vec![2; 64],
        vec![1 << 16; 4],
        vec![65_535, 1, 3],
        vec![1 << 16],
        [vec![1; 90], vec![3; 40]].concat(),
    ] {
        let space = Space::free(&cardinalities);
        for (name, optimizer) in optimizers(&space, 5, None) {
            let score = |design: &[u16]| (design.iter().map(|&rank| f64::from(rank)).sum(), 0.0);
            let designs = run(&mut *optimizer.unwrap(), cardinalities.len(), 1500, 300, score).unwrap();
            assert_eq!(designs.iter().collect::<BTreeSet<_>>().len(), 1500, "{name}");
        }
    }
}

#[test]
fn options_out_of_range_are_named_with_what_is_right() {
    fn fails<O>(made: Result<O, Error>, expected: &str) {
        let error = made.err().unwrap();
        assert!(matches!(&error, Error::Configuration(text) if text == expected), "{error}");
    }
    let space = Space::free(&[4, 4]);
    let annealing = AnnealingOptions::default;
    fails(
        Annealing::new(&space, AnnealingOptions { chains: 0, ..annealing() }),
        "chains is 0; it must be at least 1",
    );
    fails(
        Annealing::new(&space, AnnealingOptions { cycle: 0, ..annealing() }),
        "cycle is 0; it must be at least 1",
    );
    let evolution = DifferentialEvolutionOptions::default;
    let options = DifferentialEvolutionOptions { population: 3, ..evolution() };
    fails(DifferentialEvolution::new(&space, options), "population is 3; it must be at least 4");
    let options = DifferentialEvolutionOptions { patience: 0, ..evolution() };
    fails(DifferentialEvolution::new(&space, options), "patience is 0; it must be at least 1");
    let firefly = FireflyOptions::default;
    for (options, expected) in [
        (FireflyOptions { flies: Some(1), ..firefly() }, "flies is 1; it must be at least 2"),
        (
            FireflyOptions { gravity: f64::NAN, ..firefly() },
            "gravity is NaN; it must be above 0 and at most 1",
        ),
        (FireflyOptions { gravity: 0.0, ..firefly() }, "gravity is 0; it must be above 0 and at most 1"),
        (
            FireflyOptions { perturbation: 0.6, ..firefly() },
            "perturbation is 0.6; it must be from 0.001 to 0.5",
        ),
        (FireflyOptions { penalty: 1.0, ..firefly() }, "penalty is 1; it must be above 0 and below 1"),
    ] {
        fails(Firefly::new(&space, options), expected);
    }
    let local = LocalSearchOptions::default;
    for (options, name) in [
        (LocalSearchOptions { walkers: 0, ..local() }, "walkers"),
        (LocalSearchOptions { kick: 0, ..local() }, "kick"),
        (LocalSearchOptions { samples: 0, ..local() }, "samples"),
        (LocalSearchOptions { patience: 0, ..local() }, "patience"),
    ] {
        fails(LocalSearch::new(&space, options), &format!("{name} is 0; it must be at least 1"));
    }
}
