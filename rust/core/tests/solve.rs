//! The exact search, and the bounds it stands on: of expressions, of the simulator, against all designs of a box.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panic")]
#![allow(clippy::float_cmp, reason = "results are compared with what they must be exactly")]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use prime_fast_core::search::{
    Goal, Mean, Problem, Solution, SolveOptions, SolveProgress, SolveStop, TIE, solve,
};
use prime_fast_core::simulator::{Score, Simulator, Technology, Wanted};
use prime_fast_core::space::expression::interval::Truth;
use prime_fast_core::space::{Conditions, Region};
use prime_fast_core::workload::{Application, bundled_names, prime_names};
use prime_fast_core::{DesignSpace, Error};
use proptest::prelude::*;

fn space(text: &str) -> DesignSpace {
    DesignSpace::from_toml(text, "space.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Every design of a region.
fn designs(region: &Region) -> Vec<Vec<u16>> {
    let mut all = vec![vec![]];
    for parameter in 0..region.least.len() {
        let ranks = region.least[parameter]..=region.most[parameter];
        all = all
            .into_iter()
            .flat_map(|design: Vec<u16>| {
                ranks.clone().map(move |rank| design.iter().copied().chain([rank]).collect())
            })
            .collect();
    }
    all
}

/// A region of a space, by two numbers a parameter.
fn region(space: &DesignSpace, picks: &[(u16, u16)]) -> Region {
    let mut region = Region::all(space);
    for (parameter, (&cardinality, &(a, b))) in space.cardinalities().iter().zip(picks).enumerate() {
        let (a, b) = (a % cardinality as u16, b % cardinality as u16);
        (region.least[parameter], region.most[parameter]) = (a.min(b), a.max(b));
    }
    region
}

// --- expressions -------------------------------------------------------------------------------------------

fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "c", "m0"]).prop_map(str::to_owned),
        2 => proptest::sample::select(vec!["0", "1", "2", "0.1", "7.5", "1e200", "1e308"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = proptest::sample::select(vec!["+", "-", "*", "/", "//", "%"]);
        let unary = proptest::sample::select(vec!["-", "abs", "ceil", "floor", "log2"]);
        let function = proptest::sample::select(vec!["min", "max"]);
        prop_oneof![
            6 => (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            2 => (unary, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            1 => (function, inner.clone(), inner).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
        ]
    })
    .boxed()
}

fn condition() -> BoxedStrategy<String> {
    let comparison = proptest::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    let leaf = prop_oneof![
        6 => (number(), comparison, number()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
        1 => proptest::sample::select(vec!["flag", "flow == 'x'", "flow != 'y'", "true"]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} and {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} or {b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
    .boxed()
}

/// A space of numbers in and out of order, negative ones and zero among them, a boolean and a text.
fn expressive(metrics: &[String], conditions: &[String]) -> DesignSpace {
    let mut text = r#"
        name = "expressive"
        parameter = [
            { name = "a", values = [-3, -0.5, 0, 0.1, 1, 2, 5] },
            { name = "b", kind = "categorical", values = [4, -2, 1e155, 0.3, 3] },
            { name = "c", values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18] },
            { name = "flag", values = [true, false] },
            { name = "flow", values = ["x", "y", "z"] },
        ]
    "#
    .to_owned();
    for (position, metric) in metrics.iter().enumerate() {
        writeln!(text, "[[metric]]\nname = \"m{position}\"\nexpression = \"{metric}\"").unwrap();
    }
    for (position, condition) in conditions.iter().enumerate() {
        writeln!(text, "[[constraint]]\nname = \"c{position}\"\nexpression = \"{condition}\"").unwrap();
    }
    space(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_design_of_a_region_is_within_its_bounds(
        first in proptest::sample::select(vec!["a * c - b", "c / a", "(a - a) / (c - c)", "log2(a)", "c * c"]),
        others in proptest::collection::vec(number(), 2),
        conditions in proptest::collection::vec(condition(), 1..3),
        limit in prop_oneof![Just(1.0), -20.0..40.0],
        picks in proptest::collection::vec((any::<u16>(), any::<u16>()), 5),
    ) {
        let metrics: Vec<String> = [first.to_owned()].into_iter().chain(others).collect();
        let space = expressive(&metrics, &conditions);
        let region = region(&space, &picks);
        let all = designs(&region);
        for (metric, text) in metrics.iter().enumerate() {
            let bounds = space.metric_bounds(metric, &region);
            for design in &all {
                let value = space.metric(metric, design);
                prop_assert!(
                    if value.is_nan() { bounds.nan } else { bounds.least <= value && value <= bounds.most },
                    "{text} is {value}, not within {bounds:?}"
                );
            }
        }
        let passes = |design: &Vec<u16>| space.check(design).is_none() && space.metric(1, design) <= limit;
        let limited = Conditions::new(&space, &[(1, limit)]);
        match limited.truth(&space, &region) {
            Truth::Always => prop_assert!(all.iter().all(passes)),
            Truth::Never => prop_assert!(!all.iter().any(passes)),
            Truth::Unknown => {}
        }
        let mut shrunk = region.clone();
        let left = limited.shrink(&space, &mut shrunk);
        for design in all.iter().filter(|design| passes(design)) {
            prop_assert!(left);
            let kept = (0..5).all(|p| (shrunk.least[p]..=shrunk.most[p]).contains(&design[p]));
            prop_assert!(kept, "{design:?} is not in {shrunk:?}");
        }
    }
}

#[test]
fn bounds_are_as_tight_as_the_corners_of_monotone_metrics() {
    let space = DesignSpace::bundled("prime").unwrap();
    let area = space.metric_position("area_mm2").unwrap();
    let all = Region::all(&space);
    let bounds = space.metric_bounds(area, &all);
    assert_eq!(bounds.least, space.metric(area, &all.least));
    assert_eq!(bounds.most, space.metric(area, &all.most));
    // A single design is decided exactly.
    let single = Region { least: all.least.clone(), most: all.least.clone() };
    assert_eq!(Conditions::new(&space, &[(area, bounds.least)]).truth(&space, &single), Truth::Always);
    assert_eq!(
        Conditions::new(&space, &[(area, bounds.least.next_down())]).truth(&space, &single),
        Truth::Never
    );
}

// --- bounds of the simulator -------------------------------------------------------------------------------

fn simulator(space: &DesignSpace, application: &Application) -> Simulator {
    Simulator::new(space.clone(), application.clone(), Technology::bundled().unwrap()).unwrap()
}

fn bundled(name: &str) -> Application {
    Application::bundled(name).unwrap()
}

const ALL: Wanted = Wanted { energy: true, average_power: true };

/// That no feasible one of `designs` of the region is outside what the simulator says of the region.
fn check_bounds(
    simulator: &Simulator,
    region: &Region,
    designs: &[Vec<u16>],
) -> Result<usize, TestCaseError> {
    let on_chip = simulator.on_chip(region, ALL);
    let bounds = simulator.bounds(region, &on_chip);
    let mut shrunk = region.clone();
    let left = simulator.shrink(&mut shrunk, on_chip.program());
    let mut feasible = 0;
    for design in designs {
        let score = simulator.score_one(design).unwrap();
        if score.rejection.is_some() {
            continue;
        }
        feasible += 1;
        prop_assert!(left);
        prop_assert!((0..design.len()).all(|p| (shrunk.least[p]..=shrunk.most[p]).contains(&design[p])));
        for (bound, value) in [
            (bounds.latency_us, score.latency_us),
            (bounds.energy_uj, score.energy_uj),
            (bounds.average_power_mw, score.energy_uj / score.latency_us * 1e3),
            (bounds.peak_power_mw, score.peak_power_mw),
        ] {
            prop_assert!(bound <= value * (1.0 + 1e-12), "{bounds:?} {score:?} {design:?}");
            if region.is_design() {
                prop_assert!(bound >= value * (1.0 - 1e-12), "{bounds:?} {score:?} {design:?}");
            }
        }
    }
    Ok(feasible)
}

#[test]
fn no_design_beats_the_bounds_of_its_region() {
    let prime = DesignSpace::bundled("prime").unwrap();
    let all: Vec<Simulator> = bundled_names().map(|name| simulator(&prime, &bundled(name))).collect();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(192));
    let feasible = std::cell::Cell::new(0);
    let inputs = (
        0..all.len(),
        proptest::collection::vec((any::<u16>(), any::<u16>(), 0..4_u16), 10),
        proptest::collection::vec(proptest::collection::vec(any::<u16>(), 10), 24),
    );
    runner
        .run(&inputs, |(one, picks, designs)| {
            // Wide ranges, narrow ones and single values.
            let picks: Vec<(u16, u16)> = picks
                .iter()
                .map(|&(a, b, width)| (a, if width == 3 { b } else { a.wrapping_add(width) }))
                .collect();
            let region = region(&prime, &picks);
            let inside = |design: &Vec<u16>| -> Vec<u16> {
                let parts = design.iter().enumerate();
                parts.map(|(p, &pick)| region.least[p] + pick % (region.spread(p) as u16 + 1)).collect()
            };
            let designs: Vec<Vec<u16>> = designs.iter().map(inside).collect();
            feasible.set(feasible.get() + check_bounds(&all[one], &region, &designs)?);
            for design in &designs[..4] {
                let single = Region { least: design.clone(), most: design.clone() };
                check_bounds(&all[one], &single, std::slice::from_ref(design))?;
            }
            Ok(())
        })
        .unwrap();
    assert!(feasible.get() > 100, "{} feasible designs", feasible.get());
}

// --- the search against all designs ------------------------------------------------------------------------

/// A part of PRIME's space: some values of each parameter, not in order where `shuffled`.
fn part(picks: &[Vec<usize>], shuffled: bool, caching: bool) -> DesignSpace {
    let prime = DesignSpace::bundled("prime").unwrap();
    let (_, metrics) = prime.text().split_once("[constants]").unwrap();
    let mut text = "name = \"part\"\n".to_owned();
    for (parameter, picks) in prime.parameters().iter().zip(picks) {
        let mut ranks: Vec<usize> = picks.iter().map(|pick| pick % parameter.values.len()).collect();
        if !shuffled {
            ranks.sort_unstable();
        }
        let mut values: Vec<String> = Vec::new();
        // Some core memories are just large enough for the window of `network`.
        let share = if parameter.name == "core_memory" { 27.0 / 32.0 } else { 1.0 };
        let value = |&rank: &usize| parameter.values[rank].number().unwrap() * share;
        for value in ranks.iter().map(|rank| value(rank).to_string()) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let kind = if shuffled { "categorical" } else { "ordinal" };
        let (name, values) = (&parameter.name, values.join(", "));
        writeln!(text, "[[parameter]]\nname = \"{name}\"\nkind = \"{kind}\"\nvalues = [{values}]").unwrap();
    }
    if caching {
        text += "[[parameter]]\nname = \"parameter_caching\"\nvalues = [false, true]\n";
    }
    space(&format!("{text}[constants]{metrics}"))
}

/// A small network of layers of every kind.
fn network(channels: &[u32], side: u32) -> Application {
    let (half, [a, b, c]) = (side.div_ceil(2), [channels[0], channels[1], channels[2]]);
    let text = format!(
        r#"
        name = "small"
        title = ""
        source = ""
        input = [{side}, {side}, 3]
        layer = [
            {{ name = "stem", kind = "conv", input = [{side}, {side}, 3], output = [{half}, {half}, {a}], kernel = [3, 3], stride = [2, 2] }},
            {{ name = "deep", kind = "depthwise", input = [{half}, {half}, {a}], output = [{half}, {half}, {a}], kernel = [3, 3] }},
            {{ name = "wide", kind = "conv", input = [{half}, {half}, {a}], output = [{half}, {half}, {b}] }},
            {{ name = "back", kind = "conv", input = [{half}, {half}, {b}], output = [{half}, {half}, {a}] }},
            {{ name = "sum", kind = "elementwise", input = [{half}, {half}, {a}], output = [{half}, {half}, {a}], inputs = ["deep", "back"] }},
            {{ name = "pool", kind = "pool", input = [{half}, {half}, {a}], output = [1, 1, {a}], kernel = [{half}, {half}] }},
            {{ name = "far", kind = "conv", input = [{half}, {half}, {a}], output = [{half}, {half}, {a}], kernel = [3, 3], dilation = [2, 2], inputs = ["sum"] }},
            {{ name = "rows", kind = "recurrent", input = [{half}, 1, {a}], output = [{half}, 1, {b}], view = true }},
            {{ name = "scores", kind = "matmul", input = [{half}, 1, {b}], output = [{half}, 1, {c}], inputs = ["rows", "wide"], view = true }},
            {{ name = "head", kind = "dense", input = [1, 1, {a}], output = [1, 1, {c}], inputs = ["pool"] }},
        ]
        "#
    );
    Application::from_toml(&text, "small.toml").unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Debug, Clone)]
struct Case {
    goal: Goal,
    mean: Mean,
    weights: Vec<f64>,
    limits: Vec<(String, f64)>,
}

const QUANTITIES: [&str; 5] = ["area_mm2", "latency_us", "energy_uj", "average_power_mw", "peak_power_mw"];

fn result(name: &str, score: &Score) -> f64 {
    match name {
        "latency_us" => score.latency_us,
        "energy_uj" => score.energy_uj,
        "average_power_mw" => score.energy_uj / score.latency_us * 1e3,
        "peak_power_mw" => score.peak_power_mw,
        "area_mm2" => score.area_mm2,
        _ => panic!("{name}"),
    }
}

/// Objective of every feasible design, by index.
fn all_scores(simulators: &[Simulator], case: &Case) -> Vec<(f64, u64)> {
    let space = simulators[0].space();
    let total: f64 = case.weights.iter().sum();
    let mut found = Vec::new();
    for design in designs(&Region::all(space)) {
        let scores: Vec<Score> = simulators.iter().map(|one| one.score_one(&design).unwrap()).collect();
        let keeps = |score: &Score| case.limits.iter().all(|(name, limit)| result(name, score) <= *limit);
        if scores.iter().any(|score| score.rejection.is_some() || !keeps(score)) {
            continue;
        }
        let value = |score: &Score| match case.goal {
            Goal::Latency => score.latency_us,
            Goal::Energy => score.energy_uj,
            Goal::EnergyDelay => score.energy_uj * score.latency_us,
        };
        let values = scores.iter().zip(&case.weights);
        let score = match case.mean {
            Mean::Arithmetic => values.map(|(score, weight)| value(score) * weight).sum::<f64>() / total,
            Mean::Geometric => {
                values.map(|(score, weight)| value(score).powf(weight / total)).product::<f64>()
            }
        };
        found.push((score, space.index_of(&design)));
    }
    found
}

fn run(simulators: &[Simulator], case: &Case, options: SolveOptions) -> Result<Solution, Error> {
    let Case { goal, mean, weights, limits } = case;
    let problem = Problem::new(simulators.to_vec(), weights, *goal, *mean, limits)?;
    solve(&problem, &options, &AtomicBool::new(false), &mut |_| {})
}

/// A part of PRIME's space, applications on it and a problem, with limits as shares of what its designs have.
fn cases() -> impl Strategy<Value = (DesignSpace, Vec<Application>, Case, Vec<(&'static str, f64)>)> {
    // Most of PRIME's designs are too large for it; a part that is small on average has feasible ones.
    let values = (0..10_usize).map(|parameter| {
        proptest::collection::vec(if parameter < 5 { 0..7_usize } else { 0..11 }, 1..=3).boxed()
    });
    let parts = (values.collect::<Vec<_>>(), any::<bool>(), any::<bool>());
    let spaces = parts
        .prop_map(|(picks, shuffled, caching)| part(&picks, shuffled, caching))
        .prop_filter("small enough to look at every design", |space| space.size() <= 2000);
    let networks = (proptest::collection::vec(1..300_u32, 3), 8..64_u32);
    let others =
        proptest::collection::vec(proptest::sample::select(prime_names().collect::<Vec<_>>()), 0..=2);
    let applications = (networks, others).prop_map(|((channels, side), others)| {
        let others = others.into_iter().map(bundled);
        [network(&channels, side)].into_iter().chain(others).collect()
    });
    let goals = proptest::sample::select(vec![Goal::Latency, Goal::Energy, Goal::EnergyDelay]);
    // Next to nothing makes near ties.
    let weight = prop_oneof![2 => 0.1..4.0, 1 => Just(1e-10)];
    let weights = proptest::collection::vec(weight, 3);
    let means = proptest::sample::select(vec![Mean::Geometric, Mean::Arithmetic]);
    let limits = proptest::collection::vec((proptest::sample::select(QUANTITIES.to_vec()), 0.0..1.0), 0..=2);
    (spaces, applications, goals, means, weights, limits).prop_map(
        |(space, applications, goal, mean, weights, limits): (_, Vec<Application>, _, _, Vec<f64>, _)| {
            let weights = weights[..applications.len()].to_vec();
            (space, applications, Case { goal, mean, weights, limits: vec![] }, limits)
        },
    )
}

#[test]
fn the_result_is_the_best_of_all_designs_with_all_its_ties() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
    let (solved, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    runner
        .run(&cases(), |(space, applications, mut case, limits)| {
            let simulators: Vec<Simulator> =
                applications.iter().map(|application| simulator(&space, application)).collect();
            // Limits somewhere between the least and the greatest of what the designs have, or just below.
            let every = all_scores(&simulators, &case);
            for (name, share) in limits {
                let quantity = |index: u64| {
                    let mut design = vec![0_u16; space.dimensions()];
                    space.ranks_of(index, &mut design);
                    let scores = simulators.iter().map(|one| one.score_one(&design).unwrap());
                    scores.map(|score| result(name, &score)).fold(0.0, f64::max)
                };
                let mut values: Vec<f64> = every.iter().map(|&(_, index)| quantity(index)).collect();
                values.sort_by(f64::total_cmp);
                if let Some(&limit) = values.get((values.len() as f64 * share) as usize) {
                    case.limits.push((name.to_owned(), if share < 0.1 { limit * 0.99 } else { limit }));
                }
            }

            let every = all_scores(&simulators, &case);
            let found = run(&simulators, &case, SolveOptions::default());
            let best = every.iter().map(|design| design.0).fold(f64::INFINITY, f64::min);
            if best.is_infinite() {
                let right = matches!(&found, Err(Error::NoFeasibleDesign(_)));
                prop_assert!(right, "{:?}", found);
                refused.set(refused.get() + 1);
                return Ok(());
            }
            solved.set(solved.get() + 1);
            let found = found.unwrap();
            let within = |share: f64| -> Vec<u64> {
                every
                    .iter()
                    .filter(|design| design.0 <= best * (1.0 + share))
                    .map(|design| design.1)
                    .collect()
            };
            // At the very edge of what counts as a tie, rounding would decide.
            prop_assume!(within(TIE * 0.999) == within(TIE * 1.001));
            prop_assert_eq!(&found.ties, &within(TIE));
            prop_assert_eq!(found.tie_count, found.ties.len());
            prop_assert_eq!(space.index_of(&found.design), found.ties[0]);
            prop_assert!((found.score / best - 1.0).abs() < 2.0 * TIE);
            prop_assert!(found.bound <= found.score && found.bound >= best * (1.0 - TIE));
            prop_assert_eq!((found.stop, found.gap()), (SolveStop::Proved, 0.0));
            Ok(())
        })
        .unwrap();
    assert!(solved.get() > 4 && refused.get() > 1, "{} solved, {} refused", solved.get(), refused.get());
}

// --- runs ---------------------------------------------------------------------------------------------------

fn prime(names: &[&str]) -> Vec<Simulator> {
    let space = DesignSpace::bundled("prime").unwrap();
    names.iter().map(|name| simulator(&space, &bundled(name))).collect()
}

fn latency(applications: usize, limits: &[(&str, f64)]) -> Case {
    Case {
        goal: Goal::Latency,
        mean: Mean::Geometric,
        weights: vec![1.0; applications],
        limits: limits.iter().map(|&(name, limit)| (name.to_owned(), limit)).collect(),
    }
}

#[test]
fn threads_change_nothing_not_even_the_count_of_nodes() {
    let simulators = prime(&["t-RNN Enc", "U-Net"]);
    for options in [SolveOptions::default(), SolveOptions { nodes: Some(200), ..SolveOptions::default() }] {
        let results = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found =
                pool.install(|| run(&simulators, &latency(2, &[("area_mm2", 29.0)]), options)).unwrap();
            Solution { seconds: 0.0, ..found }
        });
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0], results[2]);
    }
}

#[test]
fn weights_count_by_their_ratio() {
    let simulators = prime(&["t-RNN Enc", "t-RNN Dec"]);
    let mut case = latency(2, &[("area_mm2", 29.0)]);
    let even = run(&simulators, &case, SolveOptions::default()).unwrap();
    case.weights = vec![7.0, 7.0];
    let sevens = run(&simulators, &case, SolveOptions::default()).unwrap();
    assert_eq!((even.design, even.ties), (sevens.design, sevens.ties));
    // Nearly all of the weight on one is that one.
    case.weights = vec![1e12, 1.0];
    let one = run(&simulators[..1], &latency(1, &[("area_mm2", 29.0)]), SolveOptions::default()).unwrap();
    let nearly = run(&simulators, &case, SolveOptions::default()).unwrap();
    assert!((nearly.score / one.score - 1.0).abs() < 1e-9);
}

#[test]
fn a_run_cut_short_claims_no_more_than_it_knows() {
    let simulators = prime(&["U-Net"]);
    let case = latency(1, &[("area_mm2", 29.0)]);
    let whole = run(&simulators, &case, SolveOptions::default()).unwrap();
    let mut proved = 0;
    for nodes in [1, 2, 10, 100, 1000, 100_000] {
        let part =
            run(&simulators, &case, SolveOptions { nodes: Some(nodes), ..SolveOptions::default() }).unwrap();
        assert!(part.nodes <= nodes + 100, "{} of {nodes} nodes", part.nodes);
        assert!(part.bound <= whole.score * (1.0 + TIE) && part.score >= whole.score * (1.0 - TIE));
        if part.stop == SolveStop::Proved {
            proved += 1;
            assert_eq!((&part.ties, part.gap()), (&whole.ties, 0.0));
        } else {
            assert_eq!(part.stop, SolveStop::Nodes);
            assert!((0.0..1.0).contains(&part.gap()), "{}", part.gap());
            assert!(part.bound <= part.score);
        }
    }
    assert!(proved > 0);

    let short =
        run(&simulators, &case, SolveOptions { seconds: Some(1e-9), ..SolveOptions::default() }).unwrap();
    assert_eq!(short.stop, SolveStop::Seconds);
    assert!(short.gap() > 0.0);

    let stop = AtomicBool::new(false);
    let problem = Problem::new(simulators, &[1.0], case.goal, case.mean, &case.limits).unwrap();
    let mut interrupt = |progress: SolveProgress| {
        stop.store(progress.nodes > 1, Ordering::Relaxed);
    };
    let found = solve(&problem, &SolveOptions::default(), &stop, &mut interrupt).unwrap();
    assert_eq!(found.stop, SolveStop::Interrupted);
    assert!(found.gap() > 0.0 && found.score >= whole.score);
}

#[test]
fn ties_are_counted_beyond_those_listed() {
    let simulators = prime(&["t-RNN Enc"]);
    let case = latency(1, &[("area_mm2", 29.0)]);
    let all = run(&simulators, &case, SolveOptions::default()).unwrap();
    let few = run(&simulators, &case, SolveOptions { ties: 3, ..SolveOptions::default() }).unwrap();
    assert!(all.tie_count > 10);
    assert_eq!((few.tie_count, &few.ties[..]), (all.tie_count, &all.ties[..3]));
}

#[test]
fn an_impossible_limit_is_named_with_what_can_be_reached() {
    let simulators = prime(&["t-RNN Enc", "U-Net"]);
    let refusal =
        |limits: &[(&str, f64)]| match run(&simulators, &latency(2, limits), SolveOptions::default()) {
            Err(Error::NoFeasibleDesign(infeasible)) => infeasible.message,
            other => panic!("expected a refusal, found {other:?}"),
        };
    let message = refusal(&[("latency_us", 1e6), ("area_mm2", 0.5)]);
    let (before, least) = message.rsplit_once(' ').unwrap();
    assert_eq!(
        before,
        "no design of space `prime` can run t-RNN Enc, U-Net within area_mm2 <= 0.5: the least area_mm2 is"
    );
    // What it says can be reached can be reached, and no less.
    let least: f64 = least.parse().unwrap();
    assert!(run(&simulators, &latency(2, &[("area_mm2", least)]), SolveOptions::default()).is_ok());
    refusal(&[("area_mm2", least * 0.9999)]);

    let message = refusal(&[("area_mm2", least * 1.1), ("average_power_mw", 1e6), ("latency_us", 600.0)]);
    let start = format!(
        "no design of space `prime` can run t-RNN Enc, U-Net within area_mm2 <= {}, average_power_mw <= 1000000, \
         latency_us <= 600: within the other limits, the least latency_us is ",
        least * 1.1
    );
    let fastest: f64 = message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).parse().unwrap();
    let limits = [("area_mm2", least * 1.1), ("latency_us", fastest)];
    assert!(run(&simulators, &latency(2, &limits), SolveOptions::default()).is_ok());

    let never =
        space(&DesignSpace::bundled("prime").unwrap().text().replace("area_mm2 <= 112", "area_mm2 <= 0.1"));
    let simulators = [simulator(&never, &bundled("U-Net"))];
    let message = run(&simulators, &latency(1, &[("area_mm2", 29.0)]), SolveOptions::default())
        .unwrap_err()
        .to_string();
    assert_eq!(message, "no design of space `prime` can run U-Net, even without limits");
}

#[test]
fn unusable_arguments_are_refused() {
    let simulators = prime(&["t-RNN Enc"]);
    let limits = |name: &str, limit: f64| vec![(name.to_owned(), limit)];
    let refusal = |simulators: &[Simulator], weights: &[f64], limits: &[(String, f64)]| match Problem::new(
        simulators.to_vec(),
        weights,
        Goal::Latency,
        Mean::Geometric,
        limits,
    ) {
        Err(Error::Configuration(message)) => message,
        other => panic!("expected a refusal, found {other:?}"),
    };
    assert_eq!(refusal(&[], &[], &[]), "no application is given; at least one is needed");
    assert_eq!(
        refusal(&simulators, &[1.0, 2.0], &[]),
        "as many weights as applications are needed, found 2 and 1"
    );
    for weight in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
        let message = refusal(&simulators, &[weight], &[]);
        assert_eq!(message, format!("a weight is {weight}; weights must be positive, finite numbers"));
    }
    for limit in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
        let message = refusal(&simulators, &[1.0], &limits("area_mm2", limit));
        assert_eq!(message, format!("limit area_mm2={limit}: a limit must be a positive, finite number"));
    }
    let message = refusal(&simulators, &[1.0], &limits("area", 29.0));
    assert!(message.starts_with("unknown limit `area` (did you mean area_mm2?); known: "), "{message}");
    assert!(message.ends_with("latency_us, energy_uj, average_power_mw, peak_power_mw"), "{message}");

    let problem = Problem::new(simulators, &[1.0], Goal::Latency, Mean::Geometric, &[]).unwrap();
    for (options, wanted) in [
        (
            SolveOptions { seconds: Some(-1.0), ..SolveOptions::default() },
            "seconds is -1; it must be above 0",
        ),
        (
            SolveOptions { seconds: Some(f64::NAN), ..SolveOptions::default() },
            "seconds is NaN; it must be above 0",
        ),
        (SolveOptions { nodes: Some(0), ..SolveOptions::default() }, "nodes is 0; it must be at least 1"),
    ] {
        let error = solve(&problem, &options, &AtomicBool::new(false), &mut |_| {}).unwrap_err();
        assert_eq!(error, Error::Configuration(wanted.into()));
    }
}
