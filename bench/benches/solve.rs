//! The exact search: whole runs with proof.
//!
//! What limits it is the work a node. A box that leaves PEs, lanes, cores or core memory open costs 1 to 13 us an
//! application (its distinct layers under seven mappings; twice that where energy is bounded too), one that is open
//! elsewhere 0.1 us (a sum over its layers); constraints and limits take up to 17 us a box, whatever the number of
//! applications. The genetic search for a first design is another fixed 2048 evaluations. A proof takes 500 to 20,000
//! nodes, the more the more designs tie.

use std::sync::atomic::AtomicBool;

use criterion::{Criterion, criterion_group, criterion_main};
use prime_fast_core::DesignSpace;
use prime_fast_core::search::{Goal, Mean, Problem, SolveOptions, SolveStop, solve};
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::{Application, prime_names};

fn problem(names: &[&str], goal: Goal, limits: &[(&str, f64)]) -> Problem {
    let simulator = |name: &&str| {
        let space = DesignSpace::bundled("prime").expect("bundled");
        let application = Application::bundled(name).expect("bundled");
        Simulator::new(space, application, Technology::bundled().expect("bundled"))
            .expect("PRIME's space fits")
    };
    let limits: Vec<(String, f64)> = limits.iter().map(|&(name, limit)| (name.to_owned(), limit)).collect();
    let weights = vec![1.0; names.len()];
    Problem::new(names.iter().map(simulator).collect(), &weights, goal, Mean::Geometric, &limits)
        .expect("limits")
}

fn prove(problem: &Problem) -> u64 {
    let solution =
        solve(problem, &SolveOptions::default(), &AtomicBool::new(false), &mut |_| {}).expect("feasible");
    assert_eq!(solution.stop, SolveStop::Proved);
    solution.nodes
}

fn exact(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("solve");
    group.sample_size(10);
    for name in prime_names() {
        let problem = problem(&[name], Goal::Latency, &[("area_mm2", 29.0)]);
        group.bench_function(format!("{name} at 29 mm2"), |bencher| bencher.iter(|| prove(&problem)));
    }
    let names: Vec<&str> = prime_names().collect();
    for area in [29.0, 100.0] {
        let problem = problem(&names, Goal::Latency, &[("area_mm2", area)]);
        group.bench_function(format!("all nine at {area} mm2"), |bencher| bencher.iter(|| prove(&problem)));
    }
    let limits = [("area_mm2", 100.0), ("average_power_mw", 2000.0)];
    let problem = problem(&names, Goal::EnergyDelay, &limits);
    group.bench_function("all nine, energy-delay at 2 W", |bencher| bencher.iter(|| prove(&problem)));
    group.finish();
}

criterion_group!(benches, exact);
criterion_main!(benches);
