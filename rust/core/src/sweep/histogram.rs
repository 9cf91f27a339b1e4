//! Counts of values by size, without knowing their range beforehand.

/// Bits of a double that choose its bin: sign, exponent and the first four bits of the mantissa.
const SHIFT: u32 = 48;
const BINS: usize = 1 << 16;

/// A bin and how many values lie in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The bin holds values from here (for negative ones: above here)
    pub lower: f64,
    /// to below here (for negative ones: up to here).
    pub upper: f64,
    /// Number of values.
    pub count: u64,
}

/// A histogram with 16 bins of equal width between any two powers of two: 3 to 6 percent of the value each.
///
/// The edges are the same for every run, and doubles exactly.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BINS] }
    }

    /// Bin of a value.
    pub(super) fn bin(value: f64) -> u16 {
        // Adding 0 turns -0 into 0.
        ((value + 0.0).to_bits() >> SHIFT) as u16
    }

    pub(super) fn count(&mut self, bin: u16) {
        self.counts[usize::from(bin)] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The bins that hold values, in increasing order; what is no number is left out.
    pub(super) fn bins(&self) -> Vec<Bin> {
        let edge = |bin: usize| f64::from_bits((bin as u64) << SHIFT);
        let used = self.counts.iter().enumerate().filter(|&(bin, &count)| count > 0 && !edge(bin).is_nan());
        let mut bins: Vec<Bin> = used
            .map(|(bin, &count)| {
                let (near, far) = (edge(bin), if edge(bin).is_finite() { edge(bin + 1) } else { edge(bin) });
                Bin { lower: near.min(far), upper: near.max(far), count }
            })
            .collect();
        bins.sort_by(|a, b| a.lower.total_cmp(&b.lower));
        bins
    }
}
