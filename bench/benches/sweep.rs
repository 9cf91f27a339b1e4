//! Designs a second of a sweep through the whole space, and what bounds it.
//!
//! For the single design a sweep leaves: for each check or limit that only some designs of a grid pass, one
//! lookup and one move (4 bytes read, 2 written); within the limits, for each histogram two lookups and one
//! increment (4 bytes read, 8 read and written), and for the objective and each measure of the front one
//! lookup (10 bytes) and a comparison. All of that lies in the first-level cache (designs left, positions,
//! bins: 12 KiB each), the counts in the second-level one. The increment is the limit: one in the bin of the
//! design before, as most are, waits for that one's store, some 5 cycles. Measured on one core: 2 ns a
//! histogram and 3 ns a front of two, for each of the 105 million feasible designs of MobileNetV2, and 15 us
//! for each of the 77,000 arrays of PEs (layers, expressions, checks), which is half of the time.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::DesignSpace;
use prime_fast_core::simulator::{Simulator, Technology};
use prime_fast_core::sweep::{SweepOptions, sweep};
use prime_fast_core::workload::Application;

fn whole_space(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    let space = DesignSpace::bundled("prime").expect("bundled");
    let designs = u64::try_from(space.size()).expect("PRIME's space is small");
    group.throughput(Throughput::Elements(designs)).sample_size(10);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_secs(1));
    for (application, limits) in
        [("MobileNetV2", Some(29.0)), ("U-Net", Some(29.0)), ("t-RNN Enc", Some(29.0)), ("MobileNetV2", None)]
    {
        let simulator = Simulator::new(
            space.clone(),
            Application::bundled(application).expect("bundled"),
            Technology::bundled().expect("bundled"),
        )
        .expect("PRIME's space fits");
        let limits: Vec<_> = limits.map(|limit| ("area_mm2".to_owned(), limit)).into_iter().collect();
        for threads in [1, 2] {
            let options =
                SweepOptions { limits: limits.clone(), threads: Some(threads), ..SweepOptions::default() };
            let name = if limits.is_empty() { "no limit" } else { "29 mm2" };
            group.bench_function(format!("{application}/{name}/{threads} threads"), |bencher| {
                bencher.iter(|| {
                    sweep(black_box(&simulator), &options, &AtomicBool::new(false), &mut |_| {})
                        .expect("options")
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, whole_space);
criterion_main!(benches);
