//! What the processor offers, and which version of the kernels it gets.

use multiversion::multiversion;
use multiversion::target::match_target;

/// The version of the kernels that runs here: `avx512`, `avx2` or `baseline`; chosen as each kernel chooses.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2", "x86_64+avx2+bmi1+bmi2"))]
#[must_use]
pub fn kernel() -> &'static str {
    match_target! {
        "x86_64+avx512f+avx512vl+avx512bw+avx512dq+avx2+bmi1+bmi2" => "avx512",
        "x86_64+avx2+bmi1+bmi2" => "avx2",
        _ => "baseline",
    }
}

/// Features of the processor that a version of the kernels asks for, and whether it has them; none where there is
/// but one version.
#[must_use]
pub fn features() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detected {
            ($($name:tt),*) => { vec![$(($name, std::arch::is_x86_feature_detected!($name))),*] };
        }
        // The last one tells the processors that AVX-512 does not slow down; without it AVX2 is chosen.
        detected!("avx2", "bmi1", "bmi2", "avx512f", "avx512vl", "avx512bw", "avx512dq", "avx512vbmi2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{features, kernel};

    #[test]
    fn a_kernel_has_the_features_it_asks_for() {
        let has =
            |names: &[&str]| features().iter().filter(|(name, has)| *has && names.contains(name)).count();
        match kernel() {
            "avx512" => assert_eq!(has(&["avx512f", "avx512vl", "avx512bw", "avx512dq", "avx2"]), 5),
            "avx2" => assert_eq!(has(&["avx2", "bmi1", "bmi2"]), 3),
            other => assert_eq!(other, "baseline"),
        }
    }
}
