//! A space without constraints, and scores for a nanosecond a rank: what is left is the search's own cost.

use prime_fast_core::DesignSpace;
use prime_fast_core::search::LimitedSpace;

/// Designs a run.
pub const EVALUATIONS: usize = 50_000;
/// Number of PRIME's parameters.
pub const WIDTH: usize = 10;

/// PRIME's space without its constraints, and with those at 29 mm2.
pub fn spaces() -> (LimitedSpace, LimitedSpace) {
    let space = DesignSpace::bundled("prime").expect("bundled");
    let entries = space.parameters().iter().map(|parameter| {
        let values: Vec<String> = parameter.values.iter().map(ToString::to_string).collect();
        format!("[[parameter]]\nname = \"{}\"\nvalues = [{}]\n", parameter.name, values.join(", "))
    });
    let text = format!("name = \"free\"\n{}", entries.collect::<String>());
    let free = DesignSpace::from_toml(&text, "free").expect("parameters alone");
    let limited = |space, limits: &[_]| LimitedSpace::new(space, limits).expect("metric");
    (limited(free, &[]), limited(space, &[("area_mm2".to_owned(), 29.0)]))
}

/// Distances from up to three designs, row by row; those of several columns are weighted, so that few tie.
pub fn distances(ranks: &[u16], columns: usize, scores: &mut Vec<f64>) {
    const CORNERS: [[u16; WIDTH]; 3] =
        [[7, 2, 3, 5, 2, 4, 3, 1, 4, 2], [0, 9, 0, 2, 6, 0, 0, 3, 0, 5], [5, 0, 6, 9, 0, 10, 6, 0, 2, 4]];
    scores.clear();
    for design in ranks.chunks_exact(WIDTH) {
        scores.extend(CORNERS[..columns].iter().map(|corner| {
            let away = design.iter().zip(corner).zip(1..);
            let weighted = |((rank, at), weight): ((&u16, &u16), u16)| {
                f64::from(rank.abs_diff(*at) * if columns > 1 { weight } else { 1 })
            };
            away.map(weighted).sum::<f64>()
        }));
    }
}
