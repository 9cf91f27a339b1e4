//! The search on spaces whose whole truth is known by enumeration.

#![allow(clippy::unwrap_used)]

mod known_space;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use known_space::{Space, spaces};
use prime_fast_core::Error;
use prime_fast_core::search::{
    Domain, Genetic, GeneticOptions, Interrupt, METHODS, Optimizer, Options, Outcome, Random, Session, Setup,
    Stop, minimize, optimizer_named,
};
use proptest::prelude::*;

/// A hash of the design: no structure to learn, few ties. Some designs turn out infeasible when scored.
fn rugged(index: u64) -> (f64, f64) {
    let hash = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    match hash % 8 {
        0 => (f64::NAN, (hash % 100) as f64 + 1.0),
        1 => (f64::INFINITY, 0.0),
        _ => ((hash % 1000) as f64 - 500.0, 0.0),
    }
}

fn scorer<'a, F>(
    space: &'a Space,
    mut score: F,
) -> impl FnMut(&[u16], usize, &mut [f64], &mut [f64]) -> Result<(), Error> + 'a
where
    F: FnMut(&[u16]) -> (f64, f64) + 'a,
{
    move |ranks, n, scores, violations| {
        assert_eq!((scores.len(), violations.len()), (n, n));
        let designs = ranks.chunks(space.cardinalities.len());
        assert_eq!(designs.len(), n);
        for (row, design) in designs.enumerate() {
            (scores[row], violations[row]) = score(design);
        }
        Ok(())
    }
}

fn run<F>(space: &Space, optimizer: &mut dyn Optimizer, options: &Options, score: F) -> Result<Outcome, Error>
where
    F: FnMut(&[u16]) -> (f64, f64),
{
    minimize(space, optimizer, &mut scorer(space, score), options, &Interrupt::default(), &mut |_| {})
}

fn genetic(space: &Space, population: usize, seed: u64) -> Genetic<&Space> {
    islands(space, 1, population, seed)
}

fn islands(space: &Space, islands: usize, population: usize, seed: u64) -> Genetic<&Space> {
    Genetic::new(space, GeneticOptions { population, islands, seed }).unwrap()
}

/// A space that counts the designs that it is asked about.
struct Counted<'a> {
    space: &'a Space,
    looks: Arc<AtomicUsize>,
}

impl Domain for Counted<'_> {
    fn cardinalities(&self) -> &[usize] {
        self.space.cardinalities()
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        self.space.index_of(ranks)
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.space.violation(ranks)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_run_scores_each_feasible_design_once_and_reports_the_best(
        space in spaces(),
        population in 1..20_usize,
        batch in 1..40_usize,
        keep in 1..10_usize,
        seed: u64,
        baseline: bool,
        count in 1..5_usize,
    ) {
        let feasible = space.feasible();
        let mut optimizer: Box<dyn Optimizer> = if baseline {
            Box::new(Random::new(&space, seed).unwrap())
        } else {
            Box::new(islands(&space, count, population, seed))
        };
        let mut scored = Vec::new();
        let options = Options { evaluations: 10_000, batch, keep, ..Options::default() };
        let outcome = run(&space, &mut *optimizer, &options, |design| {
            scored.push(space.index_of(design));
            rugged(space.index_of(design))
        });
        if feasible.is_empty() {
            let least = space.designs().map(|design| space.violation(&design)).fold(f64::INFINITY, f64::min);
            let outcome = outcome.unwrap();
            prop_assert_eq!((outcome.stop, outcome.evaluations), (Stop::Infeasible, 0));
            prop_assert_eq!((outcome.best.len(), outcome.best[0].violation), (1, least));
            prop_assert_eq!(space.violation(&outcome.best[0].ranks).to_bits(), least.to_bits());
            prop_assert!(outcome.found.is_empty() && outcome.note.is_some());
            return Ok(());
        }
        let outcome = outcome.unwrap();
        prop_assert_eq!(outcome.stop, Stop::Exhausted);
        prop_assert_eq!(outcome.evaluations, scored.len());
        prop_assert_eq!(scored.len(), feasible.len(), "a design was scored twice, or left out");
        prop_assert_eq!(&scored.iter().copied().collect::<BTreeSet<_>>(), &feasible);

        let mut ranking: Vec<(f64, f64, u64)> = feasible.iter().map(|&index| match rugged(index) {
            (f64::INFINITY, 0.0) => (f64::INFINITY, f64::INFINITY, index),
            (score, violation) => (violation, score, index),
        }).collect();
        ranking.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        let expected: Vec<u64> = ranking.iter().take(keep).map(|design| design.2).collect();
        let best: Vec<u64> = outcome.best.iter().map(|design| design.index).collect();
        prop_assert_eq!(best, expected);
        let top = optimizer.best().unwrap();
        prop_assert_eq!((top.index, top.violation), (ranking[0].2, ranking[0].0));
        prop_assert_eq!(space.index_of(&top.ranks), top.index);
        let falling = outcome.history.windows(2).all(|pair| {
            pair[0].score > pair[1].score && pair[0].evaluations < pair[1].evaluations
        });
        prop_assert!(falling, "{:?}", outcome.history);
        let minimum = (ranking[0].0 == 0.0).then_some(ranking[0].1);
        prop_assert_eq!(outcome.history.last().map(|last| last.score), minimum);
    }
}

#[test]
fn numbers_of_islands_and_populations_out_of_range_are_named() {
    for (population, islands, expected) in [
        (0, 1, "population is 0; it must be at least 1"),
        (1, 0, "islands is 0; it must be from 1 to 1024"),
        (1, usize::MAX, "islands is 18446744073709551615; it must be from 1 to 1024"),
    ] {
        let options = GeneticOptions { population, islands, seed: 0 };
        let error = Genetic::new(&Space::free(&[2]), options).map(|_| ());
        assert_eq!(error, Err(Error::Configuration(expected.into())));
    }
}

/// An NK landscape: each parameter's contribution is a table over it and two others.
struct Landscape {
    links: Vec<[usize; 3]>,
    tables: Vec<Vec<f64>>,
}

impl Landscape {
    fn new(space: &Space, seed: u64) -> Self {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let hash = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (hash ^ hash >> 31) as usize
        };
        let n = space.cardinalities.len();
        let links: Vec<[usize; 3]> =
            (0..n).map(|i| [i, (i + 1 + next() % (n - 1)) % n, (i + 1 + next() % (n - 1)) % n]).collect();
        let size = |link: &[usize; 3]| link.iter().map(|&i| space.cardinalities[i]).product::<usize>();
        let tables =
            links.iter().map(|link| (0..size(link)).map(|_| (next() >> 11) as f64).collect()).collect();
        Self { links, tables }
    }

    fn score(&self, space: &Space, design: &[u16]) -> f64 {
        let parts = self.links.iter().zip(&self.tables);
        let digit = |row, &i: &usize| row * space.cardinalities[i] + usize::from(design[i]);
        parts.map(|(link, table)| table[link.iter().fold(0, digit)]).sum()
    }
}

#[test]
fn the_minimum_of_constrained_nk_landscapes_is_found() {
    let mut space = Space::free(&[4, 3, 4, 3, 4, 3, 3, 4, 3, 3]);
    (space.centre, space.most) = (vec![0; 10], 9.0);
    let feasible = space.designs().filter(|design| space.violation(design) <= 0.0).count();
    assert!((0.2..0.3).contains(&(feasible as f64 / 186_624.0)), "{feasible}");
    // The last two need the search to start over; the budgets are a seventh to a half of the feasible designs.
    for (landscape, evaluations) in [(0, 6000), (3, 6000), (1, 14_000), (2, 20_000)] {
        let landscape = Landscape::new(&space, landscape);
        let feasible = space.designs().filter(|design| space.violation(design) <= 0.0);
        let minimum = feasible.map(|design| landscape.score(&space, &design)).fold(f64::INFINITY, f64::min);
        let options =
            Options { evaluations, batch: 64, keep: 1, target: Some(minimum), ..Options::default() };
        let hits = (0..10).filter(|&seed| {
            let score = |design: &[u16]| (landscape.score(&space, design), 0.0);
            run(&space, &mut genetic(&space, 64, seed), &options, score).unwrap().stop == Stop::Target
        });
        let hits = hits.count();
        assert!(hits >= 9, "{hits} of 10");
    }
}

#[test]
fn a_seed_fixes_the_designs_at_any_number_of_threads() {
    let mut space = Space::free(&[10, 10, 7, 10, 7, 11, 7, 4, 5, 6]);
    space.most = 25.0;
    let designs = |threads, seed, count| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut designs = Vec::new();
            let options = Options { evaluations: 6000, batch: 1500, ..Options::default() };
            let outcome = run(&space, &mut islands(&space, count, 200, seed), &options, |design| {
                designs.extend_from_slice(design);
                (f64::from(design[0].abs_diff(4)) + f64::from(design[5]), 0.0)
            });
            (designs, outcome.unwrap().best)
        })
    };
    let one = designs(1, 3, 1);
    assert_eq!(designs(2, 3, 1), one);
    assert_eq!(designs(8, 3, 1), one);
    assert_ne!(designs(1, 4, 1).0, one.0);
    let three = designs(1, 3, 3);
    assert_eq!(designs(8, 3, 3), three);
    assert_ne!(three.0, one.0);
}

#[test]
fn a_batch_asked_for_ahead_is_new_and_told_in_its_turn() {
    let space = Space::free(&[10; 6]);
    let score = |design: &[u16]| design.iter().map(|&rank| f64::from(rank.abs_diff(4))).sum::<f64>();
    // Populations so small that some start over while a batch is out.
    let mut optimizer = islands(&space, 2, 8, 0);
    assert!(optimizer.ask_ahead());
    let (mut seen, mut due) = (BTreeSet::new(), VecDeque::new());
    let mut least = f64::INFINITY;
    for batch in 0..200 {
        let mut ranks = Vec::new();
        assert_eq!(optimizer.ask(40, &mut ranks), Ok(40));
        assert!(ranks.chunks(6).all(|design| seen.insert(design.to_vec())));
        due.push_back(ranks);
        if batch > 0 {
            let told: Vec<f64> = due.pop_front().unwrap().chunks(6).map(score).collect();
            optimizer.tell(&told, &[0.0; 40]).unwrap();
            least = told.iter().copied().fold(least, f64::min);
            let best = optimizer.best().unwrap();
            assert_eq!(best.score.to_bits(), least.to_bits());
            assert_eq!(score(&best.ranks).to_bits(), least.to_bits());
        }
    }
    assert_eq!(least.to_bits(), 0.0_f64.to_bits());
}

#[test]
fn the_best_design_at_a_tight_limit_is_found() {
    // One of 10,000 designs keeps the limit, and the best one exhausts it.
    let space = Space { most: 12.0, ..Space::free(&[10; 10]) };
    let options =
        Options { evaluations: 10_000, batch: 512, keep: 1, target: Some(-117.0), ..Options::default() };
    let hits = (0..5).filter(|&seed| {
        let outcome = run(&space, &mut genetic(&space, 64, seed), &options, |design| {
            let parts = design.iter().zip(1..).map(|(&rank, weight)| f64::from(weight * i32::from(rank)));
            (-parts.sum::<f64>(), 0.0)
        });
        // 9 of the heaviest, 3 of the next.
        outcome.unwrap().stop == Stop::Target
    });
    assert_eq!(hits.count(), 5);
}

#[test]
fn a_space_without_feasible_designs_says_how_near_it_comes() {
    let mut small = Space::free(&[6, 6, 6]);
    (small.centre, small.most) = (vec![2, 3, 4], -0.5);
    let mut large = Space::free(&[40; 4]);
    (large.centre, large.most) = (vec![2, 3, 4, 5], -0.5);
    let mut ranks = Vec::new();
    for (mut optimizer, words) in [
        (
            Box::new(genetic(&small, 8, 0)) as Box<dyn Optimizer>,
            "of all 216 designs the nearest misses by 0.5",
        ),
        (Box::new(Random::new(&small, 0).unwrap()), "of all 216 designs the nearest misses by 0.5"),
        (Box::new(genetic(&large, 8, 0)), "the nearest misses by 0.500000 (ranks [2, 3, 4, 5])"),
    ] {
        // The second call must not fare differently.
        for _ in 0..if words.contains("all") { 2 } else { 1 } {
            let error = optimizer.ask(4, &mut ranks).unwrap_err();
            assert!(
                matches!(&error, Error::NoFeasibleDesign(found) if found.message.contains(words)),
                "{error}"
            );
        }
    }
}

#[test]
fn the_driver_keeps_to_its_limits() {
    let space = Space::free(&[10; 6]);
    let score = |design: &[u16]| (design.iter().map(|&rank| f64::from(rank)).sum::<f64>(), 0.0);
    let mut batches = Vec::new();
    let mut count = |ranks: &[u16], n: usize, scores: &mut [f64], violations: &mut [f64]| {
        batches.push(n);
        scorer(&space, score)(ranks, n, scores, violations)
    };
    let options = Options { evaluations: 250, batch: 100, keep: 7, ..Options::default() };
    let stop = Interrupt::default();
    let mut seen = Vec::new();
    let mut progress = |progress: prime_fast_core::search::Progress| seen.push(progress.evaluations);
    let outcome =
        minimize(&space, &mut genetic(&space, 50, 0), &mut count, &options, &stop, &mut progress).unwrap();
    assert_eq!((batches, seen), (vec![100, 100, 50], vec![100, 200, 250]));
    assert_eq!((outcome.stop, outcome.evaluations, outcome.best.len()), (Stop::Evaluations, 250, 7));
    assert!(outcome.scoring_seconds <= outcome.seconds);
}

/// An interrupt that is due when it is asked about for the `n`th time.
fn after(n: usize) -> Interrupt {
    let asked = AtomicUsize::new(0);
    Interrupt::new(move || asked.fetch_add(1, Ordering::Relaxed) + 1 >= n)
}

#[test]
fn an_interrupt_between_batches_ends_the_run_with_the_best_so_far() {
    let space = Space::free(&[10; 6]);
    let stop = Arc::new(AtomicUsize::new(0));
    let interrupt = Interrupt::new({
        let stop = Arc::clone(&stop);
        move || stop.load(Ordering::Relaxed) > 0
    });
    let options = Options { evaluations: 1_000_000, batch: 10, ..Options::default() };
    let mut score = scorer(&space, |design| (f64::from(design[0]), 0.0));
    let mut stop_at_once = |_| stop.store(1, Ordering::Relaxed);
    let mut optimizer = genetic(&space, 50, 0);
    let outcome =
        minimize(&space, &mut optimizer, &mut score, &options, &interrupt, &mut stop_at_once).unwrap();
    assert_eq!((outcome.stop, outcome.evaluations, outcome.best.len()), (Stop::Interrupted, 10, 10));
}

#[test]
fn an_interrupt_ends_the_making_of_a_batch() {
    // Nothing is feasible, and nothing says so before millions of designs were looked at.
    let hopeless = Space { most: -0.5, ..Space::free(&[40; 4]) };
    // All that is feasible are the start designs.
    let tight = Space { most: 2.0, ..Space::free(&[40; 4]) };
    let near = Space::free(&[3; 4]);
    let start: Vec<u16> = near.designs().filter(|design| tight.violation(design) <= 0.0).flatten().collect();
    for (space, evaluations) in [(&hopeless, 0), (&tight, start.len() / 4)] {
        for method in METHODS.into_iter().filter(|method| !["nsga2", "quality_diversity"].contains(method)) {
            let looks = Arc::new(AtomicUsize::new(0));
            let counted = Counted { space, looks: Arc::clone(&looks) };
            let setup = Setup { seed: 1, objectives: 1, measures: Vec::new(), options: Vec::new() };
            let mut optimizer = optimizer_named(method, &counted, &setup).unwrap();
            optimizer.start_with(&start[..4 * evaluations]).unwrap();
            let mut session = Session::new(&counted, &mut *optimizer, 1, true).unwrap();
            let mut ranks = Vec::new();
            if evaluations > 0 {
                assert_eq!(
                    session.ask_until(evaluations, &mut ranks, &Interrupt::default()),
                    Ok(evaluations)
                );
                session.tell(&vec![1.0; evaluations], &vec![0.0; evaluations]).unwrap();
            }
            assert!(!session.is_cut());
            let before = looks.load(Ordering::Relaxed);
            let _ = session.ask_until(10, &mut ranks, &after(5));
            assert!(session.is_cut(), "{method}");
            let looks = looks.load(Ordering::Relaxed) - before;
            assert!(looks < 50_000, "{method}: {looks}");
        }
    }
}

#[test]
fn a_session_that_was_cut_is_made_again_from_its_journal() {
    let space = Space::free(&[10; 6]);
    let score = |ranks: &[u16]| -> Vec<f64> { ranks.chunks(6).map(|design| f64::from(design[0])).collect() };
    let session = || Session::new(&space, genetic(&space, 8, 0), 4, true).unwrap();
    let mut ranks = Vec::new();
    let batches = |session: &mut Session<&Space, Genetic<&Space>>, count: usize| {
        let mut designs = Vec::new();
        for _ in 0..count {
            let mut ranks = Vec::new();
            session.ask(40, &mut ranks).unwrap();
            session.tell(&score(&ranks), &[0.0; 40]).unwrap();
            designs.extend(ranks);
        }
        designs
    };
    let mut whole = session();
    let expected = batches(&mut whole, 6);
    let mut cut = session();
    let mut designs = batches(&mut cut, 3);
    cut.ask_until(40, &mut ranks, &after(1)).unwrap();
    assert!(cut.is_cut());
    let mut again = session();
    again.replay(cut.journal().unwrap()).unwrap();
    assert!(!again.is_cut());
    designs.extend(batches(&mut again, 3));
    assert_eq!(designs, expected);
}

#[test]
fn limits_of_zero_and_a_target_of_nan_are_refused() {
    let space = Space::free(&[10; 6]);
    let defaults = Options::default();
    for (options, name) in [
        (Options { evaluations: 0, ..defaults.clone() }, "evaluations is 0"),
        (Options { batch: 0, ..defaults.clone() }, "batch is 0"),
        (Options { keep: 0, ..defaults.clone() }, "keep is 0"),
        (Options { target: Some(f64::NAN), ..defaults }, "target is NaN"),
    ] {
        let error = run(&space, &mut genetic(&space, 50, 0), &options, |_| (0.0, 0.0)).unwrap_err();
        assert!(matches!(&error, Error::Configuration(text) if text.contains(name)), "{error}");
    }
}

#[test]
fn an_error_of_the_scorer_comes_back_as_it_is() {
    #[derive(Debug)]
    enum Failure {
        Own(Box<u32>),
        Search(Error),
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Self::Search(error)
        }
    }

    let space = Space::free(&[10; 6]);
    let options = Options { batch: 10, ..Options::default() };
    let stop = Interrupt::default();
    let payload = Box::new(7);
    let address: *const u32 = &raw const *payload;
    let mut payload = Some(payload);
    let mut fail = |_: &[u16], _: usize, _: &mut [f64], _: &mut [f64]| {
        payload.take().map_or(Ok(()), |payload| Err(Failure::Own(payload)))
    };
    let mut optimizer = genetic(&space, 50, 0);
    match minimize(&space, &mut optimizer, &mut fail, &options, &stop, &mut |_| {}) {
        Err(Failure::Own(payload)) => assert!(std::ptr::eq(&raw const *payload, address)),
        other => panic!("{other:?}"),
    }

    // A scorer that leaves designs out is found out by the NaN that their scores start as.
    let mut silent = |_: &[u16], _: usize, _: &mut [f64], _: &mut [f64]| Ok::<_, Failure>(());
    match minimize(&space, &mut genetic(&space, 50, 0), &mut silent, &options, &stop, &mut |_| {}) {
        Err(Failure::Search(Error::Data(text))) => assert!(text.contains("design 0 of the batch"), "{text}"),
        other => panic!("{other:?}"),
    }
}
