//! The simulator at the edge of what it takes; its equations are tested from Python against a reference.

use prime_fast_core::DesignSpace;
use prime_fast_core::simulator::{Check, Simulator, Technology};
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

#[test]
fn the_violation_grows_with_what_is_missing_and_is_zero_where_nothing_is() {
    for name in ["U-Net", "t-RNN Enc", "MobileNetV2"] {
        let space = DesignSpace::bundled("prime").expect("bundled");
        let application = Application::bundled(name).expect("bundled");
        let simulator =
            Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("simulator");
        let (mut designs, mut random) = (vec![[0; 10]; 4000], 1_u64);
        for (design, &cardinality) in
            designs.iter_mut().flat_map(|design| design.iter_mut().zip(simulator.space().cardinalities()))
        {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            *design = ((random >> 33) as usize % cardinality) as u16;
        }
        let mut seen = [0; 4];
        for design in &designs {
            let (violation, score) =
                (simulator.violation(design), simulator.score_one(design).expect("in range"));
            let Some(rejection) = score.rejection else {
                assert!(violation.abs() <= 0.0, "{violation}");
                continue;
            };
            let (after, place) = match rejection.check {
                Check::Constraint(_) => (4.0, 0),
                Check::PeMemory => (2.0, 1),
                Check::CoreMemory => (1.0, 2),
                Check::InstructionMemory => (0.0, 3),
            };
            seen[place] += 1;
            let lacks = if place == 0 { 0.0 } else { 1.0 - rejection.available / rejection.needed };
            assert!(
                violation > 0.0 && (violation - after - lacks).abs() < 1e-12,
                "{violation} {rejection:?}"
            );
        }
        assert!(seen[1] > 0 && seen[3] > 0, "{name}: {seen:?}");
    }
}
