//! NSGA-II's sorting and Pareto fronts beside a plain sort of the same numbers.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prime_fast_core::search::{Front, crowding_distances, hypervolume, non_dominated_sort};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Points uniform in the unit cube: some tens of fronts of a few points each, and more with their number.
fn cloud(n: usize, objectives: usize) -> Vec<f64> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
    (0..n * objectives).map(|_| random.random()).collect()
}

/// Points about a concave front, of which most are on it.
fn shell(n: usize, objectives: usize) -> Vec<f64> {
    let mut points = cloud(n, objectives);
    for point in points.chunks_mut(objectives) {
        let length = point.iter().map(|value| value * value).sum::<f64>().sqrt();
        for value in point {
            *value = 1.0 - *value / length;
        }
    }
    points
}

fn slices(criterion: &mut Criterion) {
    for objectives in [2, 3] {
        let mut group = criterion.benchmark_group(format!("pareto, {objectives} objectives"));
        group.sample_size(20);
        for n in [512, 4096, 65_536] {
            group.throughput(Throughput::Elements(n as u64));
            for (shape, points) in [("cloud", cloud(n, objectives)), ("shell", shell(n, objectives))] {
                let fronts = non_dominated_sort(&points, objectives, None).expect("points");
                let reference = vec![1.0; objectives];
                group.bench_function(format!("limit: sort of the rows, {shape} of {n}"), |bencher| {
                    bencher.iter(|| {
                        let mut rows: Vec<[u64; 3]> = points
                            .chunks_exact(objectives)
                            .map(|row| [row[0].to_bits(), row[1].to_bits(), row[objectives - 1].to_bits()])
                            .collect();
                        rows.sort_unstable();
                        rows
                    });
                });
                group.bench_function(format!("non-dominated sort, {shape} of {n}"), |bencher| {
                    bencher.iter(|| non_dominated_sort(black_box(&points), objectives, None));
                });
                group.bench_function(format!("crowding, {shape} of {n}"), |bencher| {
                    bencher.iter(|| crowding_distances(black_box(&points), objectives, &fronts));
                });
                group.bench_function(format!("hypervolume, {shape} of {n}"), |bencher| {
                    bencher.iter(|| hypervolume(black_box(&points), objectives, &reference));
                });
                // Each offer to a front of n designs that it joins looks at many of them.
                if n > 4096 {
                    continue;
                }
                group.bench_function(format!("archive offers, {shape} of {n}"), |bencher| {
                    bencher.iter(|| {
                        let mut front = Front::new(objectives, 1).expect("objectives");
                        for (index, point) in (0..).zip(points.chunks_exact(objectives)) {
                            front.offer(index, &[0], point).expect("a point");
                        }
                        front.len()
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, slices);
criterion_main!(benches);
