//! Batches, which are scored from tables, against designs simulated one by one.

#![allow(clippy::expect_used, reason = "helpers of tests fail by panic")]

use prime_fast_core::DesignSpace;
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::{Application, bundled_names};
use proptest::prelude::*;

/// Largest relative difference: both sum the same terms, in another order.
const TOLERANCE: f64 = 1e-12;

fn space(text: &str) -> DesignSpace {
    DesignSpace::from_toml(text, "space").expect("space")
}

fn prime() -> String {
    DesignSpace::bundled("prime").expect("bundled").text().to_owned()
}

/// Spaces with other values, more parameters, more metrics and constraints, and one too large for tables.
fn spaces() -> [DesignSpace; 5] {
    let caching = "[[parameter]]\nname = \"parameter_caching\"\nvalues = [true, false]\n\n[[parameter]]\nname = \"tier\"\n\
                   values = [\"a\", \"b\", \"c\"]\n\n[constants]";
    let constraints = r#"
[[metric]]
name = "ratio"
expression = "pes_x // pes_y + max(log2(cores), compute_lanes % 3, 2) - min(floor(pes_x / 3), ceil(pes_y / 5)) - abs(-dram_bandwidth)"

[[constraint]]
name = "ratio"
expression = "not ratio < -20 or (pes_x != pes_y and area_mm2 * 2 == area_mm2)"

[[constraint]]
name = "not_the_tiers"
expression = "parameter_caching or tier != \"b\" and true"
"#;
    let odd = "[1, 3, 7, 33, 100]";
    let counts = (1..=60).map(|count| count.to_string()).collect::<Vec<_>>().join(", ");
    [
        space(&prime()),
        space(&prime().replace("[1, 2, 4, 6, 8, 10, 12, 14, 16, 32]", odd).replace("<= 112", "<= 3e3")),
        space(&(prime().replace("[constants]", caching) + constraints)),
        space(&prime().replace("[1, 2, 4, 6, 8, 10, 12, 14, 16, 32]", &format!("[{counts}]"))),
        space(
            &prime().replace("[5, 10, 16, 20, 25, 30]", "[1]").replace("area_mm2 <= 112", "area_mm2 <= 1e30"),
        ),
    ]
}

fn technologies() -> [Technology; 3] {
    let bundled = Technology::bundled().expect("bundled");
    let odd = Technology {
        mac_ways: 3,
        instructions_per_tile: 0.1,
        instructions_per_row: 0.7,
        prefetch_mib: 0.3,
        parameter_share: 0.3,
        layer_us: 0.0,
        ..bundled.clone()
    };
    let uncached = Technology {
        parameter_caching: false,
        unrolled_kernels: false,
        invocation_us: 0.0,
        ..bundled.clone()
    };
    [bundled, odd, uncached]
}

fn designs(space: &DesignSpace, indices: &[u64]) -> Vec<u16> {
    let mut ranks = vec![0; indices.len() * space.dimensions()];
    for (index, design) in indices.iter().zip(ranks.chunks_exact_mut(space.dimensions())) {
        space.ranks_of(index % space.size() as u64, design);
    }
    ranks
}

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= TOLERANCE * b.abs()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_is_its_designs_one_by_one(indices in prop::collection::vec(any::<u64>(), 60)) {
        let mut feasible = 0;
        for space in spaces() {
            let ranks = designs(&space, &indices);
            for technology in technologies() {
                let mixed = Application::from_toml(include_str!("mixed.toml"), "mixed.toml").expect("application");
                let bundled = bundled_names().map(|name| Application::bundled(name).expect("bundled"));
                for application in bundled.chain([mixed]) {
                    let name = application.name.clone();
                    let simulator =
                        Simulator::new(space.clone(), application, technology.clone()).expect("simulator");
                    let scores = simulator.score(&ranks).expect("scores");
                    for (row, design) in ranks.chunks_exact(space.dimensions()).enumerate() {
                        let one = simulator.score_one(design).expect("score");
                        let reason = one.rejection.as_ref().map_or(0, |found| simulator.reason(found.check) + 1);
                        prop_assert_eq!(usize::from(scores.reason[row]), reason, "{} {:?}", name, design);
                        prop_assert_eq!(scores.area_mm2[row].to_bits(), one.area_mm2.to_bits());
                        prop_assert_eq!(scores.peak_power_mw[row].to_bits(), one.peak_power_mw.to_bits());
                        let (latency, energy) = (scores.latency_us[row], scores.energy_uj[row]);
                        prop_assert!(close(latency, one.latency_us), "{} {latency} {one:?}", name);
                        prop_assert!(close(energy, one.energy_uj), "{} {energy} {one:?}", name);
                        feasible += usize::from(reason == 0);
                    }
                }
            }
        }
        prop_assert!(feasible > 300, "{feasible}");
    }

    #[test]
    fn neither_threads_nor_splits_change_a_bit(
        indices in prop::collection::vec(any::<u64>(), 2000),
        application in prop::sample::select(bundled_names().collect::<Vec<_>>()),
        split in 1_usize..700,
    ) {
        let new = || {
            let space = DesignSpace::bundled("prime").expect("bundled");
            let application = Application::bundled(application).expect("bundled");
            Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("simulator")
        };
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let ranks = designs(new().space(), &indices);
        let expected = new().score(&ranks).expect("scores");
        for threads in 1..=3 {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let simulator = new();
            let (mut latency_us, mut energy_uj, mut reason) = (vec![], vec![], vec![]);
            for part in ranks.chunks(split * simulator.space().dimensions()) {
                let scores = pool.install(|| simulator.score(part)).expect("scores");
                latency_us.extend(scores.latency_us);
                energy_uj.extend(scores.energy_uj);
                reason.extend(scores.reason);
            }
            prop_assert_eq!(bits(&latency_us), bits(&expected.latency_us));
            prop_assert_eq!(bits(&energy_uj), bits(&expected.energy_uj));
            prop_assert_eq!(&reason, &expected.reason);
        }
    }
}
