//! Sweeps against the simulator, one design at a time.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panic")]
#![allow(clippy::float_cmp, reason = "results are compared with what they must be exactly")]

use std::sync::atomic::{AtomicBool, Ordering};

use prime_fast_core::simulator::{Output, Score, Simulator, Technology};
use prime_fast_core::sweep::{Sweep, SweepOptions, sweep};
use prime_fast_core::workload::Application;
use prime_fast_core::{DesignSpace, Error};

/// PRIME's space with fewer values a parameter, and more lines of TOML.
fn cut(values: &[(&str, &str)], extra: &str) -> DesignSpace {
    let full = DesignSpace::bundled("prime").expect("bundled").text().to_owned();
    let mut lines: Vec<String> = full.lines().map(str::to_owned).collect();
    for (name, list) in values {
        let at = lines.iter().position(|line| line == &format!("name = \"{name}\"")).expect("a parameter");
        let line = lines[at..].iter_mut().find(|line| line.starts_with("values")).expect("its values");
        *line = format!("values = {list}");
    }
    DesignSpace::from_toml(&format!("{}\n{extra}", lines.join("\n")), "cut").expect("a space")
}

const SMALL: [(&str, &str); 10] = [
    ("pes_x", "[1, 4, 8]"),
    ("pes_y", "[4, 10]"),
    ("cores", "[4, 16, 64]"),
    ("compute_lanes", "[1, 4]"),
    ("pe_memory", "[262144, 1048576, 4194304]"),
    ("core_memory", "[4096, 131072]"),
    ("activation_memory", "[256, 512, 4096]"),
    ("instruction_memory", "[8192, 65536]"),
    ("parameter_memory", "[2048, 8192]"),
    ("dram_bandwidth", "[5, 20, 30]"),
];

fn simulator(space: DesignSpace, application: &str) -> Simulator {
    let application = match application {
        "mixed" => Application::from_toml(include_str!("mixed.toml"), "mixed.toml").expect("application"),
        name => Application::bundled(name).expect("bundled"),
    };
    Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("a simulator")
}

fn run(simulator: &Simulator, options: &SweepOptions) -> Sweep {
    sweep(simulator, options, &AtomicBool::new(false), &mut |_| {}).expect("valid options")
}

fn options(objective: &str, limits: &[(&str, f64)], front: &[&str]) -> SweepOptions {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    SweepOptions {
        objective: objective.to_owned(),
        limits: limits.iter().map(|&(name, limit)| (name.to_owned(), limit)).collect(),
        keep: 20,
        front: names(front),
        histograms: names(&["latency_us", "area_mm2", "energy_uj", "average_power_mw", "peak_power_mw"]),
        threads: Some(2),
    }
}

/// A measure of one simulated design.
fn measure(simulator: &Simulator, name: &str, ranks: &[u16], score: &Score) -> f64 {
    if name == "energy_delay" {
        return score.energy_uj * score.latency_us;
    }
    match Output::named(name) {
        Some(output) => output.of(score),
        None => simulator.space().metric(simulator.space().metric_position(name).expect("a metric"), ranks),
    }
}

/// Compares a sweep with all designs simulated one by one, number for number; returns it.
fn compare(simulator: &Simulator, options: &SweepOptions) -> Sweep {
    let (space, found) = (simulator.space(), run(simulator, options));
    let size = u64::try_from(space.size()).expect("a small space");
    let mut ranks = vec![0_u16; space.dimensions()];
    let mut rejected = vec![0; simulator.reasons().len()];
    // Index, objective, measures of the front, measures of the histograms.
    let mut within: Vec<(u64, f64, Vec<f64>, Vec<f64>)> = Vec::new();
    for index in 0..size {
        space.ranks_of(index, &mut ranks);
        let score = simulator.score_one(&ranks).expect("in range");
        if let Some(rejection) = &score.rejection {
            rejected[simulator.reason(rejection.check)] += 1;
            continue;
        }
        let measure = |name: &String| measure(simulator, name, &ranks, &score);
        if options.limits.iter().all(|(name, limit)| measure(name) <= *limit) {
            let all = |names: &[String]| names.iter().map(measure).collect();
            within.push((index, measure(&options.objective), all(&options.front), all(&options.histograms)));
        }
    }
    assert_eq!(found.designs, size);
    assert!(found.complete);
    assert_eq!(found.rejected, rejected);
    assert_eq!(found.feasible, size - rejected.iter().sum::<u64>());
    assert_eq!(found.within_limits, within.len() as u64);

    for (place, bins) in found.histograms.iter().enumerate() {
        assert!(bins.is_sorted_by(|a, b| a.upper <= b.lower));
        assert!(bins.iter().all(|bin| bin.lower <= 0.0 || bin.upper / bin.lower <= 1.0625));
        let mut counts = vec![0; bins.len()];
        for (_, _, _, values) in &within {
            let value = values[place];
            let inside =
                bins.partition_point(|bin| if value < 0.0 { bin.upper < value } else { bin.upper <= value });
            assert!(bins[inside].lower <= value);
            counts[inside] += 1;
        }
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>(), counts);
    }
    let beats = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b);
    let mut front: Vec<_> = within
        .iter()
        .filter(|one| {
            !within.iter().any(|other| {
                beats(&other.2, &one.2) && (other.2 != one.2 || other.0 < one.0) && !options.front.is_empty()
            })
        })
        .filter(|_| !options.front.is_empty())
        .collect();
    front.sort_by(|a, b| a.2.partial_cmp(&b.2).expect("numbers"));
    assert_eq!(found.front, front.iter().map(|one| one.0).collect::<Vec<_>>());

    within.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let best: Vec<(u64, f64)> = within.iter().take(options.keep).map(|one| (one.0, one.1)).collect();
    assert_eq!(found.best, best);
    let ties = within.iter().filter(|one| one.1 <= within[0].1 + within[0].1.abs() * 1e-9).count();
    assert_eq!(found.ties, ties as u64);
    found
}

#[test]
fn a_sweep_is_every_design_simulated() {
    for application in ["MobileNetV2", "U-Net", "t-RNN Enc", "mixed"] {
        let simulator = simulator(cut(&SMALL, ""), application);
        let found = compare(&simulator, &options("latency_us", &[], &["latency_us", "area_mm2"]));
        assert!(found.front.len() > 3 && found.ties > 1, "{application}: something to compare");
        let limits = [("area_mm2", 29.0), ("average_power_mw", 3000.0), ("latency_us", 5000.0)];
        let found =
            compare(&simulator, &options("energy_uj", &limits, &["energy_uj", "peak_power_mw", "area_mm2"]));
        assert!(0 < found.within_limits && found.within_limits < found.feasible, "{application}");
    }
}

#[test]
fn every_check_rejects_some() {
    let values = [&SMALL[..], &[("pes_x", "[1, 8, 32]")]].concat();
    let simulator = simulator(cut(&values, ""), "U-Net");
    let found = compare(&simulator, &options("energy_delay", &[], &[]));
    assert!(found.rejected.iter().all(|&designs| designs > 0), "{:?}", found.rejected);
    assert!(found.front.is_empty());
}

#[test]
fn spaces_with_more_parameters_and_entangled_constraints() {
    let extra = r#"
        [[parameter]]
        name = "parameter_caching"
        values = [false, true]

        [[parameter]]
        name = "voltage"
        values = [-0.5, 0.0, 0.7, 0.9]

        [[parameter]]
        name = "process"
        values = ["low power", "fast"]

        [[metric]]
        name = "slack"
        expression = "(dram_bandwidth % 7) * voltage - log2(pe_memory) // 3 + min(pes_x, cores / 8)"

        [[metric]]
        name = "ratio"
        expression = "voltage / (pes_x - 4)"

        [[constraint]]
        name = "odd"
        expression = "not (process == \"fast\" and voltage < 0.7) or parameter_caching and slack != 1"

        [[constraint]]
        name = "entangled"
        expression = "max(pes_x * voltage, dram_bandwidth - pes_y) * ceil(activation_memory / 300) <= 40"
    "#;
    let values = [&SMALL[..], &[("activation_memory", "[256, 512]"), ("pe_memory", "[1048576]")]].concat();
    let space = cut(&values, extra);
    let simulator = simulator(space, "MobileNetV3");
    let found = compare(&simulator, &options("slack", &[], &["slack", "latency_us"]));
    assert!(found.rejected[1] > 0 && found.rejected[2] > 0);
    assert!(found.best[0].1 < 0.0);
    compare(&simulator, &options("latency_us", &[("slack", 2.0)], &["latency_us", "area_mm2", "slack"]));

    // What is no number keeps no limit and is nowhere on a front.
    let mut odd = options("ratio", &[], &["ratio", "area_mm2"]);
    odd.histograms = vec!["ratio".to_owned()];
    let found = run(&simulator, &odd);
    assert!(found.histograms[0].iter().any(|bin| bin.lower == f64::INFINITY));
    assert!(found.histograms[0].iter().map(|bin| bin.count).sum::<u64>() < found.within_limits);
    assert_eq!(found.best[0].1, f64::NEG_INFINITY);
}

#[test]
fn values_too_many_for_one_grid() {
    let many: Vec<String> = (1..=3000).map(|value| (value * 3).to_string()).collect();
    let many = format!("[{}]", many.join(", "));
    let one = ["pes_x", "pes_y", "cores", "compute_lanes"].map(|name| (name, "[4]"));
    let one_memory = ["core_memory", "instruction_memory"].map(|name| (name, "[65536]"));
    let values =
        [&SMALL[8..], &one, &one_memory, &[("pe_memory", "[4194304]"), ("activation_memory", &many)]]
            .concat();
    let space = cut(&values, "");
    assert!(space.size() > 1 << 14);
    let found = compare(&simulator(space, "t-RNN Dec"), &options("energy_uj", &[("area_mm2", 60.0)], &[]));
    assert!(found.within_limits > 1000);
}

#[test]
fn threads_make_no_difference() {
    let simulator = simulator(cut(&SMALL[4..], ""), "M6");
    let mut options = options("latency_us", &[("area_mm2", 40.0)], &["latency_us", "energy_uj", "area_mm2"]);
    let mut found = [1, 2, 5].map(|threads| {
        options.threads = Some(threads);
        run(&simulator, &options)
    });
    for one in &mut found {
        one.seconds = 0.0;
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
    assert!(found[0].front.len() > 20);
}

#[test]
fn a_stop_keeps_what_was_counted() {
    let simulator = simulator(DesignSpace::bundled("prime").expect("bundled"), "MobileNetV2");
    let stop = AtomicBool::new(false);
    let mut reports = Vec::new();
    let found = sweep(&simulator, &SweepOptions::default(), &stop, &mut |progress| {
        reports.push(progress);
        stop.store(true, Ordering::Relaxed);
    })
    .expect("valid options");
    assert!(!found.complete);
    assert!(0 < found.designs && u128::from(found.designs) < simulator.space().size());
    assert!(reports.is_sorted_by_key(|report| report.designs));
    assert_eq!(reports.last().map(|report| report.designs), Some(found.designs));
}

#[test]
fn unusable_options_are_named() {
    let simulator = simulator(cut(&SMALL, ""), "M6");
    let fails = |change: &dyn Fn(&mut SweepOptions), words: &[&str]| {
        let mut options = SweepOptions::default();
        change(&mut options);
        let Err(Error::Configuration(message)) =
            sweep(&simulator, &options, &AtomicBool::new(false), &mut |_| {})
        else {
            panic!("{words:?} must fail");
        };
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let name = |name: &str| vec![name.to_owned()];
    fails(&|options| options.objective = "latency".into(), &["`latency`", "did you mean latency_us"]);
    fails(&|options| options.limits = vec![("area_mm2".into(), f64::NAN)], &["area_mm2=NaN", "positive"]);
    fails(&|options| options.limits = vec![("speed".into(), 1.0)], &["`speed`", "energy_delay", "area_mm2"]);
    fails(&|options| options.keep = 0, &["keep is 0"]);
    fails(&|options| options.threads = Some(0), &["threads is 0"]);
    fails(&|options| options.front = name("area_mm2"), &["the front has 1"]);
    fails(&|options| options.front = vec!["area_mm2".into(); 2], &["front", "`area_mm2` twice"]);
    fails(&|options| options.histograms = name("areas"), &["`areas`"]);
    let more =
        |name: char| format!("[[parameter]]\nname = \"{name}\"\nvalues = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\n");
    let extra = "abcdefghijkl".chars().map(more).collect::<Vec<_>>().concat();
    let large = self::simulator(cut(&SMALL, &extra), "M6");
    let error = sweep(&large, &SweepOptions::default(), &AtomicBool::new(false), &mut |_| {});
    let Err(Error::Configuration(message)) = error else { panic!("too large a space must fail") };
    assert!(message.contains("2^40") && message.contains("prime-fast solve"), "{message}");
}
