//! The simulator at the edge of what it takes; its equations are tested from Python against a reference.

use prime_fast_core::DesignSpace;
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::workload::{Application, bundled_names};

/// Arithmetic overflows are panics in the build that tests run.
#[test]
fn the_largest_counts_and_memories_do_not_overflow() {
    let text = DesignSpace::bundled("prime").expect("bundled").text().replace("<= 112", "<= 1e30");
    let text = text.replace("[1, 2, 4, 6, 8, 10, 12, 14, 16, 32]", "[1, 65535]");
    let text = text.replace("[4, 8, 16, 32, 64, 128, 256]", "[1, 65535]").replace("16777216]", "4294967295]");
    let space = DesignSpace::from_toml(&text, "largest").expect("space");
    let mut technology = Technology::bundled().expect("bundled");
    technology.mac_ways = 65_535;
    let step = (space.size() / 997) as usize;
    let mut ranks = Vec::new();
    for index in (0..space.size() as u64).step_by(step).chain([space.size() as u64 - 1]) {
        let mut design = [0_u16; 10];
        space.ranks_of(index, &mut design);
        ranks.extend(design);
    }
    let huge = r#"
        name = "huge"
        title = ""
        source = ""
        input = [1, 1, 4294967295]
        layer = [{ name = "dense", kind = "dense", input = [1, 1, 4294967295], output = [1, 1, 4294967295] }]
    "#;
    let bundled = bundled_names().map(|name| Application::bundled(name).expect("bundled"));
    for application in bundled.chain([Application::from_toml(huge, "huge").expect("application")]) {
        let name = application.name.clone();
        let simulator = Simulator::new(space.clone(), application, technology.clone()).expect("simulator");
        let scores = simulator.score(&ranks).expect("scores");
        let feasible = scores.reason.iter().filter(|&&reason| reason == 0).count();
        assert!(feasible > 0, "{name}");
        for (row, &reason) in scores.reason.iter().enumerate() {
            let (latency, energy) = (scores.latency_us[row], scores.energy_uj[row]);
            assert_eq!(latency.is_finite() && energy.is_finite(), reason == 0, "{name}");
            assert!(reason != 0 || latency > technology.invocation_us, "{name}");
        }
    }
}
