//! What a score is made of adds up to it, and designs outside a space.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panic")]

use prime_fast_core::simulator::{Check, Explanation, Simulator, Technology};
use prime_fast_core::space::Value;
use prime_fast_core::workload::{Application, Layer, LayerKind, bundled_names};
use prime_fast_core::{DesignSpace, Error};

fn prime() -> DesignSpace {
    DesignSpace::bundled("prime").expect("bundled")
}

fn simulator(application: Application, space: DesignSpace) -> Simulator {
    Simulator::new(space, application, Technology::bundled().expect("bundled")).expect("simulator")
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

/// Designs spread evenly over a space.
fn designs(space: &DesignSpace, count: u64) -> Vec<Vec<u16>> {
    let size = space.size() as u64;
    let design = |index: u64| {
        let mut ranks = vec![0; space.dimensions()];
        // A prime far from the strides.
        space.ranks_of(index.wrapping_mul(2_654_435_761) % size, &mut ranks);
        ranks
    };
    (0..count).map(design).collect()
}

fn check_sums(name: &str, explanation: &Explanation, simulator: &Simulator) {
    let Explanation { score, layers, residency, array } = explanation;
    assert_eq!(layers.len(), simulator.application().layers().len(), "{name}");
    let sum =
        |figure: fn(&prime_fast_core::simulator::LayerReport) -> f64| layers.iter().map(figure).sum::<f64>();
    let latency = layers.iter().fold(array.invocation_us, |sum, layer| sum + layer.time_us);
    assert_eq!(latency.to_bits(), score.latency_us.to_bits(), "{name}");
    let energy = sum(|layer| {
        layer.mac_energy_uj + layer.port_energy_uj + layer.dram_energy_uj + layer.leakage_energy_uj
    });
    assert!(close(energy + array.leakage_mw * array.invocation_us * 1e-3, score.energy_uj), "{name}");
    let streamed = residency.streamed_weight_bytes.expect("feasible");
    assert!(close(sum(|layer| layer.dram_weight_bytes), streamed), "{name}");
    let application = simulator.application();
    let all = application.totals().parameter_bytes as f64;
    // A recurrent layer streams its weights once a time step.
    let runs = |layer: &Layer| layer.parameter_bytes() as f64 * f64::from(layer.steps());
    let most: f64 = application.layers().iter().map(runs).sum();
    let resident = residency.resident_weight_bytes.expect("feasible");
    assert!(close(streamed, (all - resident) / all * most), "{name}: {streamed} {resident}");
    assert!(
        residency.activation_bytes + residency.weight_limit_bytes <= residency.pe_memories_bytes,
        "{name}"
    );
    for layer in layers {
        let cycles = [layer.compute_cycles, layer.port_cycles, layer.bus_cycles, layer.dram_cycles];
        let most = cycles.iter().copied().fold(0.0, f64::max);
        let bound = ["compute", "port", "bus", "dram"].iter().position(|&bound| bound == layer.bound);
        assert_eq!(
            cycles[bound.expect("one of the four")].to_bits(),
            most.to_bits(),
            "{name} {}",
            layer.name
        );
        let runs = application.layers().iter().find(|of| of.name == layer.name).expect("a layer").steps();
        let fixed_us = array.layer_us * f64::from(runs);
        assert!(close(most / array.clock_mhz + fixed_us, layer.time_us), "{name} {}", layer.name);
        assert!((0.0..=1.0).contains(&layer.utilization), "{name} {}", layer.name);
        assert!(
            (1.0..=array.pes).contains(&layer.active_pes) && layer.splits >= 1.0,
            "{name} {}",
            layer.name
        );
        assert!(layer.port_cycles * array.port_bytes_per_cycle >= layer.port_bytes * (1.0 - 1e-12));
    }
}

#[test]
fn layers_add_up_to_the_score() {
    let space = prime();
    let designs = designs(&space, 3000);
    let mixed = Application::from_toml(include_str!("mixed.toml"), "mixed.toml").expect("application");
    let bundled = bundled_names().map(|name| Application::bundled(name).expect("bundled"));
    for application in bundled.chain([mixed]) {
        let name = &application.name.clone();
        let simulator = simulator(application, space.clone());
        let mut feasible = 0;
        for design in &designs {
            let (explanation, score) =
                (simulator.explain(design).expect("explains"), simulator.score_one(design).expect("scores"));
            assert_eq!(explanation.score.area_mm2.to_bits(), score.area_mm2.to_bits());
            assert_eq!(explanation.score.peak_power_mw.to_bits(), score.peak_power_mw.to_bits());
            if let Some(rejection) = score.rejection {
                let explained = explanation.score.rejection.expect("rejected too");
                assert_eq!((explained.check, explained.layer), (rejection.check, rejection.layer));
                assert!(explained.needed > explained.available, "{name}");
                assert!(
                    explanation.layers.is_empty() && explanation.residency.resident_weight_bytes.is_none()
                );
                continue;
            }
            feasible += 1;
            assert_eq!(explanation.score, score);
            check_sums(name, &explanation, &simulator);
        }
        assert!(feasible > 100, "{name}: {feasible}");
    }
}

/// Every kind of layer at sizes whose products come near 2^64; overflows are panics in the build that tests run.
#[test]
fn the_largest_layers_do_not_overflow() {
    let layers = [
        r#"{ name = "a", kind = "conv", input = [65536, 65536, 1], output = [65536, 65536, 65535] }"#,
        r#"{ name = "a", kind = "conv", input = [1, 1, 4294967295], output = [1, 1, 4294967295] }"#,
        r#"{ name = "a", kind = "conv", input = [4294967295, 1, 1], output = [1, 1, 1], kernel = [4294967295, 1], stride = [1, 4294967295] }"#,
        r#"{ name = "a", kind = "depthwise", input = [4294967295, 4294967295, 1], output = [4294967295, 4294967295, 1] }"#,
        r#"{ name = "a", kind = "dense", input = [65535, 65535, 1], output = [1, 1, 4294967295] }"#,
        r#"{ name = "a", kind = "transposed_conv", input = [1, 1, 65535], output = [1, 1, 65535], kernel = [65535, 65535], stride = [65535, 4294967295] }"#,
        r#"{ name = "a", kind = "pool", input = [1048576, 1048576, 1], output = [1, 1, 1], kernel = [1048576, 1048576] }"#,
        r#"{ name = "a", kind = "recurrent", input = [4294967295, 1, 65535], output = [4294967295, 1, 65535] }"#,
        r#"{ name = "a", kind = "matmul", input = [65535, 65535, 1], output = [65535, 65535, 4294967295], view = true }"#,
        r#"{ name = "a", kind = "matmul", input = [65535, 1, 4294967295], output = [65535, 1, 65535], groups = 65535, view = true }"#,
        r#"{ name = "a", kind = "conv", input = [4294967295, 1, 1], output = [4294967295, 1, 1], kernel = [2, 4294967295], dilation = [4294967295, 4294967295] }"#,
        r#"{ name = "a", kind = "elementwise", input = [2097152, 2097152, 1048576], output = [2097152, 2097152, 1048576] }"#,
    ];
    let roomy = DesignSpace::from_toml(&prime().text().replace("<= 112", "<= 1e30"), "roomy").expect("space");
    let most = |name: &'static str, value: i64| (name, Value::Integer(value));
    let memories = ["pe_memory", "core_memory", "instruction_memory"].map(|name| most(name, 4_294_967_295));
    let pes = ["pes_x", "pes_y"].map(|name| most(name, 65_535));
    let space = roomy.narrowed(&[&memories[..], &pes[..]].concat(), &[]).expect("space");
    let (mut explained, mut refused) = (0, 0);
    for layer in layers {
        let input =
            &layer[layer.find("input = ").expect("input") + 8..layer.find(", output").expect("output")];
        let text =
            format!("name = \"huge\"\ntitle = \"\"\nsource = \"\"\ninput = {input}\nlayer = [{layer}]\n");
        match Application::from_toml(&text, "huge") {
            Ok(application) => {
                let simulator = simulator(application, space.clone());
                for design in designs(&space, 500) {
                    let explanation = simulator.explain(&design).expect("explains");
                    explained += usize::from(explanation.score.rejection.is_none());
                    assert!(explanation.layers.iter().all(|layer| layer.time_us.is_finite()), "{layer}");
                }
            }
            Err(Error::Configuration(message)) => {
                assert!(message.starts_with("huge: "), "{message}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(explained > 1000 && refused > 0, "{explained} {refused}");
}

#[test]
fn each_check_says_what_is_needed_and_available() {
    let v1 = |changes: &[(&'static str, i64)]| {
        let values = [
            ("pes_x", 4),
            ("pes_y", 4),
            ("cores", 64),
            ("compute_lanes", 4),
            ("pe_memory", 2_097_152),
            ("core_memory", 32_768),
            ("activation_memory", 1024),
            ("instruction_memory", 16_384),
            ("parameter_memory", 16_384),
            ("dram_bandwidth", 17),
        ];
        let changed = |(name, value)| {
            let change = changes.iter().find(|(other, _)| *other == name);
            (name, Value::Integer(change.map_or(value, |&(_, value)| value)))
        };
        prime().narrowed(&values.map(changed), &[]).expect("space")
    };
    let explain = |changes: &[(&'static str, i64)]| {
        let simulator = simulator(Application::bundled("MobileNetV2").expect("bundled"), v1(changes));
        assert_eq!(simulator.space().size(), 1);
        let explanation = simulator.explain(&[0_u8; 10]).expect("explains");
        let layer = |layer: usize| simulator.application().layers()[layer].name.clone();
        explanation
            .score
            .rejection
            .map(|found| (found.check, found.layer.map(layer), found.needed, found.available))
    };
    assert_eq!(explain(&[]), None);
    let area = explain(&[("pes_x", 20)]).expect("rejected");
    assert!(area.0 == Check::Constraint(0) && area.1.is_none() && area.2 > 112.0 && close(area.3, 112.0));
    let weights = Application::bundled("MobileNetV2").expect("bundled").totals().parameter_bytes;
    let memory = explain(&[("pe_memory", 300_000)]).expect("rejected");
    assert_eq!(memory, (Check::PeMemory, None, 2.0 * weights as f64, 4_800_000.0));
    let core = explain(&[("core_memory", 3455)]).expect("rejected");
    assert_eq!(core, (Check::CoreMemory, Some("stem".to_owned()), 2.0 * 64.0 * 27.0, 3455.0));
    let program = explain(&[("instruction_memory", 100)]).expect("rejected");
    assert!(program.0 == Check::InstructionMemory && program.1.is_some() && program.2 > 64.0 * 53.0);
    assert!(close(program.3, 100.0));
}

#[test]
fn a_narrowed_space_keeps_metrics_and_constraints() {
    let space = prime();
    let values = [("cores", Value::Integer(48)), ("parameter_caching", Value::Boolean(false))];
    let narrowed = space.narrowed(&values, &["parameter_caching"]).expect("narrowed");
    assert_eq!(narrowed.size(), space.size() / 7);
    assert_eq!(narrowed.cardinalities()[2], 1);
    assert_eq!(narrowed.parameters().last().expect("added").name, "parameter_caching");
    assert_eq!(narrowed.metrics().len(), space.metrics().len());
    let metric = |space: &DesignSpace, ranks: &[u8]| {
        space.metric(space.metric_position("macs_per_cycle").expect("metric"), ranks)
    };
    assert!(close(metric(&narrowed, &[3, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0]), 6.0 * 6.0 * 2.0 * 48.0 * 4.0));
    assert_eq!(DesignSpace::from_toml(narrowed.text(), "again").expect("reads"), narrowed);
}

#[test]
fn texts_stay_where_expressions_name_them() {
    let text = r#"
        name = "mine"
        parameter = [
            { name = "tile", unit = "elements", values = [8, 16] },
            { name = "order", values = ["ijk", "ikj"] },
            { name = "fast", values = [false, true] },
        ]
        constraint = [{ name = "fits", expression = 'order == "ijk" or tile <= 8 or fast' }]
    "#;
    let space = DesignSpace::from_toml(text, "mine").expect("space");
    let narrow = |name: &'static str, value: Value| space.narrowed(&[(name, value)], &["caching"]);
    let ikj = narrow("order", Value::Text("ikj".into())).expect("narrowed");
    assert_eq!(ikj.cardinalities(), [2, 2, 2]);
    let still = narrow("fast", Value::Boolean(false)).expect("narrowed");
    assert_eq!(still.cardinalities(), [2, 2, 1]);
    assert_eq!((still.check(&[1_u8, 1, 0]), still.check(&[1_u8, 0, 0])), (Some(0), None));

    let wrong = |name: &'static str, value: Value| match narrow(name, value) {
        Err(Error::Configuration(message)) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        wrong("order", Value::Text("kji".into())),
        "space `mine`: `order` is kji; it must be one of ijk, ikj"
    );
    assert_eq!(wrong("order", Value::Integer(1)), "space `mine`: `order` is 1; it must be one of ijk, ikj");
    assert_eq!(wrong("fast", Value::Integer(1)), "space `mine`: `fast` is 1; it must be true or false");
    assert_eq!(wrong("caching", Value::Integer(1)), "space `mine`: `caching` is 1; it must be true or false");
    let nan = "space `mine`: `tile` is NaN; it must be a finite number (elements)";
    assert_eq!(wrong("tile", Value::Number(f64::NAN)), nan);
    let unknown = "space `mine`: no parameter `tiles` (did you mean tile?); known: tile, order, fast";
    assert_eq!(wrong("tiles", Value::Integer(8)), unknown);
    let twice = space.narrowed(&[("tile", Value::Integer(8)), ("tile", Value::Integer(9))], &[]);
    assert_eq!(twice, Err(Error::Configuration("space `mine`: `tile` is given twice".into())));
}

#[test]
fn kinds_are_named_as_in_files() {
    let simulator = simulator(Application::bundled("MobileNetV2").expect("bundled"), prime());
    let design = designs(simulator.space(), 1000)
        .into_iter()
        .find(|design| simulator.score_one(design).expect("scores").rejection.is_none());
    let explanation = simulator.explain(&design.expect("feasible")).expect("explains");
    for (report, layer) in explanation.layers.iter().zip(simulator.application().layers()) {
        assert_eq!((report.name.as_str(), report.kind), (layer.name.as_str(), layer.kind.name()));
        assert_eq!(report.macs > 0.0, !matches!(layer.kind, LayerKind::Pool | LayerKind::Elementwise));
    }
    let twice = simulator.explain(&[0_u8; 20]);
    assert_eq!(twice, Err(Error::Data("expected one design, found 20 ranks".into())));
}
