//! Pareto fronts and the methods that build on them, against the plain definitions.

#![allow(clippy::unwrap_used)]
#![allow(clippy::float_cmp, reason = "fronts are compared with what they must be exactly")]

use std::collections::{BTreeMap, BTreeSet};

use prime_fast_core::Error;
use prime_fast_core::search::{
    Domain, Found, Front, MeasureRange, Nsga2, Nsga2Options, Optimizer, QualityDiversity,
    QualityDiversityOptions, crowding_distances, hypervolume, non_dominated_sort,
};
use proptest::prelude::*;

fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// Front by front, as the definition has it.
fn plain_sort(points: &[&[f64]]) -> Vec<u32> {
    let mut fronts = vec![u32::MAX; points.len()];
    for front in 0.. {
        let rest: Vec<usize> = (0..points.len()).filter(|&i| fronts[i] == u32::MAX).collect();
        if rest.is_empty() {
            break;
        }
        for &i in &rest {
            if !rest.iter().any(|&j| dominates(points[j], points[i])) {
                fronts[i] = front;
            }
        }
    }
    fronts
}

/// Volume, in the axes left, of the cells whose least corner is at or above a point.
fn cells(axes: &[Vec<f64>], corner: &mut Vec<f64>, points: &[&[f64]]) -> f64 {
    let Some((axis, rest)) = axes.split_first() else {
        let inside = points.iter().any(|point| point.iter().zip(&*corner).all(|(a, b)| a <= b));
        return f64::from(u8::from(inside));
    };
    let columns = axis.windows(2).map(|pair| {
        corner.push(pair[0]);
        let content = cells(rest, corner, points);
        corner.pop();
        if content == 0.0 { 0.0 } else { (pair[1] - pair[0]) * content }
    });
    columns.sum()
}

/// Volume of the cells that the points' own coordinates cut space into.
fn plain_hypervolume(points: &[&[f64]], reference: &[f64]) -> f64 {
    let axes: Vec<Vec<f64>> = (0..reference.len())
        .map(|axis| {
            let mut cuts: Vec<f64> = points.iter().map(|point| point[axis]).collect();
            cuts.push(reference[axis]);
            cuts.retain(|&cut| cut <= reference[axis]);
            cuts.sort_by(f64::total_cmp);
            cuts.dedup();
            cuts
        })
        .collect();
    cells(&axes, &mut vec![], points)
}

/// Few values, so that ties and equal points abound; some infinite and both zeros.
fn coordinate() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (-3..6_i32).prop_map(f64::from),
        4 => -4.0..4.0_f64,
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ]
}

/// Number of objectives, and points.
fn clouds() -> impl Strategy<Value = (usize, Vec<f64>)> {
    (2..=3_usize, 0..40_usize).prop_flat_map(|(objectives, n)| {
        let lowest = prop_oneof![24 => coordinate(), 1 => Just(f64::NEG_INFINITY)];
        (Just(objectives), prop::collection::vec(lowest, n * objectives))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sorting_agrees_with_the_definition(
        (objectives, points) in clouds(),
        violations in prop::collection::vec(prop_oneof![Just(-1.0), Just(0.0), Just(1.0), Just(2.5), Just(f64::INFINITY)], 40),
    ) {
        let rows: Vec<&[f64]> = points.chunks(objectives).collect();
        prop_assert_eq!(non_dominated_sort(&points, objectives, None).unwrap(), plain_sort(&rows));

        // With violations: the same among feasible points, then one front a violation. Infeasible points may be NaN.
        let violations = &violations[..rows.len()];
        let mut broken = points.clone();
        for (row, _) in violations.iter().enumerate().filter(|(_, violation)| **violation > 1.0) {
            broken[row * objectives] = f64::NAN;
        }
        let fronts = non_dominated_sort(&broken, objectives, Some(violations)).unwrap();
        let feasible: Vec<usize> = (0..rows.len()).filter(|&i| violations[i] <= 0.0).collect();
        let inner = plain_sort(&feasible.iter().map(|&i| rows[i]).collect::<Vec<_>>());
        let outer = inner.iter().max().map_or(0, |last| last + 1);
        let levels: BTreeSet<u64> = violations.iter().filter(|v| **v > 0.0).map(|v| v.to_bits()).collect();
        let mut expected = vec![0; rows.len()];
        feasible.iter().zip(inner).for_each(|(&i, front)| expected[i] = front);
        for (i, violation) in violations.iter().enumerate().filter(|(_, violation)| **violation > 0.0) {
            expected[i] = outer + levels.range(..violation.to_bits()).count() as u32;
        }
        prop_assert_eq!(fronts, expected);
    }

    #[test]
    fn hypervolume_agrees_with_counting_cells((objectives, points) in clouds(), shift in -2.0..6.0_f64) {
        let reference = &[shift, 3.0, 2.0][..objectives];
        let rows: Vec<&[f64]> = points.chunks(objectives).collect();
        let found = hypervolume(&points, objectives, reference).unwrap();
        let expected = plain_hypervolume(&rows, reference);
        prop_assert!(found == expected || (found - expected).abs() <= 1e-12 * expected, "{found} {expected}");
    }

    #[test]
    fn a_front_holds_what_nothing_offered_dominates((objectives, points) in clouds(), order in any::<u64>()) {
        let rows: Vec<&[f64]> = points.chunks(objectives).collect();
        let mut offers: Vec<usize> = (0..rows.len()).collect();
        offers.sort_by_key(|&i| (i as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut front = Front::new(objectives, 2).unwrap();
        for &i in &offers {
            let joined = front.offer(i as u64, &[i as u16, 7], rows[i]).unwrap();
            prop_assert_eq!(joined, front.found().iter().any(|found| found.index == i as u64));
        }
        let is_on = |i: &usize| {
            let beaten = |j: usize| dominates(rows[j], rows[*i]) || j < *i && rows[j] == rows[*i];
            !(0..rows.len()).any(beaten)
        };
        let mut expected: Vec<usize> = (0..rows.len()).filter(is_on).collect();
        expected.sort_by(|&a, &b| rows[a].partial_cmp(rows[b]).unwrap());
        let found = front.found();
        prop_assert_eq!(found.iter().map(|found| found.index as usize).collect::<Vec<_>>(), expected);
        for found in &found {
            prop_assert_eq!(&found.ranks[..], &[found.index as u16, 7][..]);
            prop_assert_eq!(&found.scores[..], rows[found.index as usize]);
        }
        prop_assert_eq!((front.len(), front.is_empty()), (found.len(), rows.is_empty()));
        let reference = &[5.0, 6.0, 7.0][..objectives];
        let volumes = [front.hypervolume(reference).unwrap(), hypervolume(&points, objectives, reference).unwrap()];
        prop_assert!(volumes[0] == volumes[1] || (volumes[0] / volumes[1] - 1.0).abs() < 1e-12, "{volumes:?}");
    }
}

#[test]
fn a_front_of_thousands_keeps_its_order_as_it_grows_and_falls() {
    for objectives in [2, 3] {
        let mut front = Front::new(objectives, 1).unwrap();
        let plane = |i: u64| {
            let (a, b) = ((i * 7919 % 5000) as f64, (i * 104_729 % 4999) as f64);
            if objectives == 2 { vec![a, 5000.0 - a] } else { vec![a, b, 10_000.0 - a - b] }
        };
        for i in 0..5000 {
            assert_eq!(front.offer(i, &[i as u16], &plane(i)), Ok(true));
        }
        assert_eq!(front.len(), 5000);
        let found = front.found();
        assert!(found.is_sorted_by(|a, b| a.scores < b.scores));
        assert!(found.iter().all(|found| u64::from(found.ranks[0]) == found.index));
        // One point takes the place of some hundreds, and another that of all.
        let corner = &[1000.0, 2000.0, 3000.0][..objectives];
        assert_eq!(front.offer(5000, &[0], corner), Ok(true));
        let stays = |i: &u64| !dominates(corner, &plane(*i)) && (corner != plane(*i));
        assert_eq!(front.len(), (0..5000).filter(stays).count() + 1);
        assert!(front.len() < 4000, "{}", front.len());
        assert_eq!(front.offer(5001, &[0], &vec![-1.0; objectives]), Ok(true));
        assert_eq!(front.len(), 1);
    }
}

#[test]
fn crowding_is_the_perimeter_of_the_gap_within_a_front() {
    let points = [0.0, 4.0, 1.0, 3.0, 3.0, 1.0, 4.0, 0.0, 9.0, 9.0];
    let fronts = non_dominated_sort(&points, 2, None).unwrap();
    assert_eq!(fronts, [0, 0, 0, 0, 1]);
    let infinite = f64::INFINITY;
    let expected = [infinite, 0.75 + 0.75, 0.75 + 0.75, infinite, infinite];
    assert_eq!(crowding_distances(&points, 2, &fronts).unwrap(), expected);
    // An objective without extent adds nothing; neither does an infinite one.
    let flat = [0.0, 1.0, 2.0, 1.0, 8.0, 1.0];
    assert_eq!(crowding_distances(&flat, 2, &[0; 3]).unwrap()[1], 1.0);
    let endless = [0.0, f64::INFINITY, 2.0, 3.0, 8.0, f64::NEG_INFINITY];
    assert_eq!(crowding_distances(&endless, 2, &[0; 3]).unwrap()[1], 1.0);
}

/// A grid, and what the sum of a design's ranks must be a multiple of.
#[derive(Debug, Clone)]
struct Grid(Vec<usize>, u16);

impl Grid {
    fn known(&self) -> Vec<Vec<u16>> {
        let size: usize = self.0.iter().product();
        let designs = (0..size).map(|mut number| {
            let mut digit = |&cardinality: &usize| {
                let rank = number % cardinality;
                number /= cardinality;
                rank as u16
            };
            self.0.iter().map(&mut digit).collect::<Vec<u16>>()
        });
        designs.filter(|design| self.violation(design) == 0.0).collect()
    }
}

impl Domain for Grid {
    fn cardinalities(&self) -> &[usize] {
        &self.0
    }

    fn index_of(&self, ranks: &[u16]) -> u64 {
        ranks.iter().zip(&self.0).fold(0, |index, (&rank, &c)| index * c as u64 + u64::from(rank))
    }

    fn violation(&self, ranks: &[u16]) -> f64 {
        f64::from(ranks.iter().sum::<u16>() % self.1)
    }
}

/// Three coarse numbers from a hash of the design, and whether scoring finds it infeasible.
fn scored(index: u64, columns: usize) -> (Vec<f64>, f64) {
    let hash = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let scores = (0..columns).map(|column| ((hash >> (8 * column)) % 24) as f64 - 12.0).collect();
    match hash % 7 {
        0 => (vec![f64::NAN; columns], (hash % 5) as f64 + 1.0),
        1 => ((0..columns).map(|column| if column == 1 { f64::INFINITY } else { 0.0 }).collect(), 0.0),
        _ => (scores, 0.0),
    }
}

/// Asks and tells until `evaluations` or the end; returns the designs asked for, in order.
fn run(grid: &Grid, optimizer: &mut dyn Optimizer, batch: usize, evaluations: usize) -> Vec<u64> {
    let mut asked = Vec::new();
    let mut ranks = Vec::new();
    while asked.len() < evaluations {
        let n = optimizer.ask(batch.min(evaluations - asked.len()), &mut ranks).unwrap();
        if n == 0 {
            break;
        }
        let (mut scores, mut violations) = (vec![], vec![]);
        for design in ranks.chunks(grid.0.len()) {
            assert_eq!(grid.violation(design), 0.0);
            asked.push(grid.index_of(design));
            let (score, violation) = scored(grid.index_of(design), optimizer.columns());
            scores.extend(score);
            violations.push(violation);
        }
        optimizer.tell(&scores, &violations).unwrap();
    }
    asked
}

fn nsga2(grid: &Grid, population: usize, seed: u64, objectives: usize) -> Nsga2<&Grid> {
    Nsga2::new(grid, Nsga2Options { population, seed, objectives }).unwrap()
}

fn range(name: &str, low: f64, high: f64, bins: usize) -> MeasureRange {
    MeasureRange { name: name.into(), low, high, bins }
}

fn ranges() -> [MeasureRange; 2] {
    [range("first", -6.0, 6.0, 4), range("second", -9.0, 11.5, 3)]
}

fn diversity(grid: &Grid, seed: u64) -> QualityDiversity<&Grid> {
    QualityDiversity::new(grid, QualityDiversityOptions { seed, measures: ranges() }).unwrap()
}

fn is_feasible(scored: &(Vec<f64>, f64)) -> bool {
    scored.1 == 0.0 && scored.0.iter().all(|score| score.is_finite())
}

fn indices(found: &[Found]) -> Vec<u64> {
    found.iter().map(|found| found.index).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_spaces_are_exhausted_and_their_whole_front_found(
        cardinalities in prop::collection::vec(1..=6_usize, 1..=5),
        population in 1..40_usize,
        batch in 1..60_usize,
        seed: u64,
        objectives in 2..=3_usize,
    ) {
        let grid = Grid(cardinalities, 2);
        let known: BTreeSet<u64> = grid.known().iter().map(|design| grid.index_of(design)).collect();
        let mut search = nsga2(&grid, population, seed, objectives);
        let asked = run(&grid, &mut search, batch, usize::MAX);
        prop_assert_eq!(asked.len(), known.len());
        prop_assert_eq!(&asked.iter().copied().collect::<BTreeSet<_>>(), &known);
        let all: Vec<(u64, (Vec<f64>, f64))> =
            known.iter().map(|&index| (index, scored(index, objectives))).filter(|one| is_feasible(&one.1)).collect();
        let mut expected: Vec<_> = all.iter().filter(|(index, (scores, _))| {
            !all.iter().any(|(j, (other, _))| dominates(other, scores) || other == scores && j < index)
        }).collect();
        expected.sort_by(|a, b| a.1.0.partial_cmp(&b.1.0).unwrap());
        let found = search.found();
        prop_assert_eq!(indices(&found), expected.iter().map(|one| one.0).collect::<Vec<_>>());
        prop_assert!(found.iter().all(|found| grid.index_of(&found.ranks) == found.index));
    }

    #[test]
    fn an_archive_holds_the_best_of_each_cell(
        cardinalities in prop::collection::vec(1..=6_usize, 1..=5),
        batch in 1..200_usize,
        seed: u64,
    ) {
        let grid = Grid(cardinalities, 2);
        let mut search = diversity(&grid, seed);
        let asked = run(&grid, &mut search, batch, usize::MAX);
        prop_assert_eq!(asked.len(), grid.known().len());
        // Cells by counting the inner borders at or below a value.
        let bin = |range: &MeasureRange, value: f64| {
            let width = (range.high - range.low) / range.bins as f64;
            (1..range.bins).filter(|&k| value >= range.low + width * k as f64).count()
        };
        let mut cells = BTreeMap::new();
        for index in asked {
            let design = scored(index, 3);
            if is_feasible(&design) {
                let cell = [bin(&ranges()[0], design.0[1]), bin(&ranges()[1], design.0[2])];
                let best = cells.entry(cell).or_insert((f64::INFINITY, u64::MAX));
                *best = if (design.0[0], index) < *best { (design.0[0], index) } else { *best };
            }
        }
        let found = search.found();
        prop_assert_eq!(indices(&found), cells.values().map(|best| best.1).collect::<Vec<_>>());
        prop_assert!(found.iter().all(|found| grid.index_of(&found.ranks) == found.index));
        prop_assert!(found.iter().all(|found| found.scores == scored(found.index, 3).0));
        prop_assert_eq!(search.coverage(), cells.len() as f64 / 12.0);
        let total: f64 = cells.values().map(|best| (3.0 - best.0).max(0.0)).sum();
        prop_assert_eq!(search.qd_score(3.0).unwrap(), total);
    }
}

#[test]
fn a_seed_fixes_the_designs_at_any_number_of_threads() {
    let grid = Grid(vec![10, 10, 7, 10, 7, 11, 7, 4], 2);
    let designs = |threads, seed, columns| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut search: Box<dyn Optimizer> = match columns {
                1 => Box::new(diversity(&grid, seed)),
                _ => Box::new(nsga2(&grid, 200, seed, columns)),
            };
            let asked = run(&grid, &mut *search, 1500, 6000);
            assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 6000);
            (asked, search.found())
        })
    };
    for columns in [1, 2, 3] {
        let one = designs(1, 3, columns);
        assert_eq!(designs(2, 3, columns), one);
        assert_eq!(designs(8, 3, columns), one);
        assert_ne!(designs(1, 4, columns).0, one.0);
    }
}

/// Distances from two corners: its front is all designs on the shortest ways between them.
fn distances(design: &[u16]) -> [f64; 2] {
    let from =
        |corner: [u16; 6]| design.iter().zip(corner).map(|(a, b)| f64::from(a.abs_diff(b)).powi(2)).sum();
    [from([2, 8, 0, 4, 6, 1]), from([5, 3, 7, 4, 2, 8])]
}

fn told(search: &mut dyn Optimizer, evaluations: usize, score: impl Fn(&[u16]) -> (Vec<f64>, f64)) {
    let mut ranks = Vec::new();
    for _ in 0..evaluations / 250 {
        search.ask(250, &mut ranks).unwrap();
        let (scores, violations): (Vec<_>, Vec<_>) = ranks.chunks(6).map(&score).unzip();
        search.tell(&scores.concat(), &violations).unwrap();
    }
}

#[test]
fn the_front_of_a_smooth_problem_is_found() {
    let grid = Grid(vec![10; 6], 1);
    let every: Vec<f64> = grid.known().iter().flat_map(|design| distances(design)).collect();
    let exact = hypervolume(&every, 2, &[250.0, 250.0]).unwrap();
    for seed in 0..5 {
        let mut search = nsga2(&grid, 128, seed, 2);
        told(&mut search, 15_000, |design| (distances(design).to_vec(), 0.0));
        let share = search.front().hypervolume(&[250.0, 250.0]).unwrap() / exact;
        assert!(share > 0.999, "{share}");
    }
}

#[test]
fn infeasible_designs_lead_to_feasible_ones() {
    // One in 10,000 designs is feasible, and only scoring knows.
    let grid = Grid(vec![10; 6], 1);
    let score = |design: &[u16]| {
        let excess = (distances(design)[0] - 4.0).max(0.0);
        (vec![if excess > 0.0 { f64::NAN } else { f64::from(design[0]) }, f64::from(design[1]), 0.0], excess)
    };
    for seed in 0..5 {
        let mut searches: [Box<dyn Optimizer>; 2] =
            [Box::new(nsga2(&grid, 64, seed, 3)), Box::new(diversity(&grid, seed))];
        for search in &mut searches {
            told(&mut **search, 6000, score);
            assert!(!search.found().is_empty());
            assert_eq!(search.best().map(|best| best.violation), Some(0.0));
        }
    }
}

#[test]
fn misuse_is_named() {
    let grid = Grid(vec![4, 4], 2);
    let nan = f64::NAN;
    let mut front = Front::new(2, 1).unwrap();
    let searches = |population, objectives| {
        Nsga2::new(&grid, Nsga2Options { population, seed: 0, objectives }).map(|_| ()).unwrap_err()
    };
    let ranged = |low, high, bins| {
        let measures = [ranges()[0].clone(), range("second", low, high, bins)];
        QualityDiversity::new(&grid, QualityDiversityOptions { seed: 0, measures }).map(|_| ()).unwrap_err()
    };
    for (error, words) in [
        (searches(4, 1), "NSGA-II takes 2 or 3 objectives, found 1"),
        (searches(4, 4), "NSGA-II takes 2 or 3 objectives, found 4"),
        (searches(0, 2), "population is 0; it must be at least 1"),
        (Front::new(4, 1).map(|_| ()).unwrap_err(), "a Pareto front takes 2 or 3 objectives, found 4"),
        (front.offer(0, &[1], &[1.0]).unwrap_err(), "1 ranks and 1 objectives was offered"),
        (front.offer(0, &[1, 2], &[1.0, 2.0]).unwrap_err(), "2 ranks and 2 objectives was offered"),
        (front.offer(5, &[1], &[1.0, nan]).unwrap_err(), "objective 1 of design 5 is NaN"),
        (
            non_dominated_sort(&[1.0], 1, None).unwrap_err(),
            "non-dominated sorting takes 2 or 3 objectives, found 1",
        ),
        (
            non_dominated_sort(&[1.0; 5], 2, None).unwrap_err(),
            "5 numbers were given as points; they must be rows of 2",
        ),
        (non_dominated_sort(&[1.0, 2.0, 3.0, nan], 2, None).unwrap_err(), "objective 1 of point 1 is NaN"),
        (non_dominated_sort(&[1.0, 2.0], 2, Some(&[])).unwrap_err(), "0 violations were given for 2 numbers"),
        (non_dominated_sort(&[1.0, 2.0], 2, Some(&[nan])).unwrap_err(), "the violation of point 0 is NaN"),
        (non_dominated_sort(&[nan, 2.0], 2, Some(&[0.0])).unwrap_err(), "objective 0 of point 0 is NaN"),
        (crowding_distances(&[1.0, 2.0], 2, &[]).unwrap_err(), "0 fronts were given for 1 points"),
        (hypervolume(&[1.0; 4], 4, &[2.0; 4]).unwrap_err(), "a hypervolume takes 2 or 3 objectives, found 4"),
        (
            hypervolume(&[1.0; 4], 2, &[2.0; 3]).unwrap_err(),
            "the reference point has 3 numbers; it must have 2",
        ),
        (hypervolume(&[1.0; 4], 2, &[2.0, nan]).unwrap_err(), "objective 1 of the reference point is NaN"),
        (hypervolume(&[nan, 1.0], 2, &[2.0, 2.0]).unwrap_err(), "objective 0 of point 0 is NaN"),
        (ranged(1.0, 1.0, 3), "measure second has the range 1 to 1"),
        (ranged(2.0, 1.0, 3), "measure second has the range 2 to 1"),
        (ranged(nan, 1.0, 3), "measure second has the range NaN to 1"),
        (ranged(0.0, f64::INFINITY, 3), "it must be finite"),
        (ranged(0.0, 1.0, 0), "measure second has 0 bins"),
        (ranged(0.0, 1.0, usize::MAX), "1048576 cells at most"),
        (diversity(&grid, 0).qd_score(nan).unwrap_err(), "the reference of the QD score is NaN"),
    ] {
        assert!(matches!(&error, Error::Configuration(text) if text.contains(words)), "{error}: {words}");
    }
    // Telling one number a design leaves the search as it was.
    let mut search = nsga2(&grid, 4, 0, 2);
    let mut ranks = Vec::new();
    assert_eq!(search.ask(3, &mut ranks), Ok(3));
    let error = search.tell(&[0.0; 3], &[0.0; 3]).unwrap_err();
    assert!(error.to_string().contains("each needs 2 scores and a violation"), "{error}");
    search.tell(&[0.0; 6], &[0.0; 3]).unwrap();
    assert_eq!(search.found().len(), 1);
}
