//! The codec between rows of ranks and one mixed-radix index.

use super::DesignSpace;
use crate::{Error, Result};

/// An integer type that holds ranks: `u8` where no parameter has more than 256 values, else `u16`.
pub trait Rank: Copy + Send + Sync + 'static {
    /// The rank as a position.
    fn get(self) -> usize;
    /// The position as a rank; the caller knows that it fits.
    fn put(position: usize) -> Self;
}

impl Rank for u8 {
    fn get(self) -> usize {
        usize::from(self)
    }

    fn put(position: usize) -> Self {
        position as Self
    }
}

impl Rank for u16 {
    fn get(self) -> usize {
        usize::from(self)
    }

    fn put(position: usize) -> Self {
        position as Self
    }
}

/// Weight of each digit and the number of designs, or nothing when that is above 2^64.
pub(super) fn strides(cardinalities: &[usize]) -> Option<(Vec<u64>, u128)> {
    let mut strides = vec![0; cardinalities.len()];
    let mut size: u128 = 1;
    for (stride, &cardinality) in strides.iter_mut().zip(cardinalities).rev() {
        // A parameter of one value has the digit 0 only, so its weight may wrap.
        *stride = size as u64;
        size = size.checked_mul(cardinality as u128)?;
        if size > 1 << 64 {
            return None;
        }
    }
    Some((strides, size))
}

impl DesignSpace {
    /// Index of one design, given by ranks within range.
    #[must_use]
    pub fn index_of<R: Rank>(&self, ranks: &[R]) -> u64 {
        ranks
            .iter()
            .zip(&self.strides)
            .fold(0, |index, (rank, stride)| index.wrapping_add((rank.get() as u64).wrapping_mul(*stride)))
    }

    /// Ranks of the design with that index, which is below the size of the space.
    pub fn ranks_of<R: Rank>(&self, mut index: u64, ranks: &mut [R]) {
        for (rank, &cardinality) in ranks.iter_mut().zip(&self.cardinalities).rev() {
            let cardinality = cardinality as u64;
            *rank = R::put((index % cardinality) as usize);
            index /= cardinality;
        }
    }

    /// Makes sure that `ranks` is whole rows with every rank in range; the error names row and parameter.
    pub fn validate<R: Rank>(&self, ranks: &[R]) -> Result<()> {
        let dimensions = self.dimensions();
        if !ranks.len().is_multiple_of(dimensions) {
            return Err(Error::Data(format!(
                "{} ranks are not whole designs of {dimensions} parameters",
                ranks.len()
            )));
        }
        for (row, design) in ranks.chunks_exact(dimensions).enumerate() {
            for ((rank, &cardinality), parameter) in
                design.iter().zip(&self.cardinalities).zip(&self.parameters)
            {
                if rank.get() >= cardinality {
                    return Err(Error::Data(format!(
                        "design {row}: `{}` has rank {}; it has {cardinality} values, so ranks 0 to {}",
                        parameter.name,
                        rank.get(),
                        cardinality - 1
                    )));
                }
            }
        }
        Ok(())
    }
}
