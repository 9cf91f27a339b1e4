//! Rank matrices between NumPy and slices.

use std::borrow::Cow;

use numpy::{PyArray2, PyArrayMethods, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods, ToPyArray};
use prime_fast_core::DesignSpace;
use prime_fast_core::space::Rank;
use pyo3::prelude::*;

use crate::error::data;

/// A matrix of ranks borrowed from Python.
pub enum Ranks<'py> {
    /// `uint8`
    Narrow(PyReadonlyArray2<'py, u8>),
    /// `uint16`
    Wide(PyReadonlyArray2<'py, u16>),
}

impl<'py> Ranks<'py> {
    /// Takes an array of shape (n, `dimensions`) and dtype uint8 or uint16.
    pub fn new(array: &Bound<'py, PyAny>, dimensions: usize) -> PyResult<Self> {
        let wanted = format!("an array of shape (n_designs, {dimensions}) and dtype uint8 or uint16");
        let Ok(untyped) = array.cast::<PyUntypedArray>() else {
            let name = array.get_type().name()?;
            return Err(data(format!("designs must be {wanted}, found a {name}")));
        };
        if untyped.ndim() != 2 || untyped.shape()[1] != dimensions {
            return Err(data(format!("designs must be {wanted}, found shape {:?}", untyped.shape())));
        }
        if let Ok(narrow) = array.cast::<PyArray2<u8>>() {
            Ok(Self::Narrow(narrow.try_readonly()?))
        } else if let Ok(wide) = array.cast::<PyArray2<u16>>() {
            Ok(Self::Wide(wide.try_readonly()?))
        } else {
            Err(data(format!("designs must be {wanted}, found dtype {}", untyped.dtype())))
        }
    }

    /// The ranks as 16-bit rows, checked against the space.
    pub fn widened(&self, space: &DesignSpace) -> PyResult<Vec<u16>> {
        let ranks = match self {
            Self::Narrow(array) => array.as_array().iter().map(|&rank| u16::from(rank)).collect::<Vec<_>>(),
            Self::Wide(array) => array.as_array().iter().copied().collect(),
        };
        space.validate(&ranks).map_err(crate::error::raise)?;
        Ok(ranks)
    }
}

/// The array's elements in row order, copied only where they don't lie in that order.
pub fn rows<'a, R: Rank + numpy::Element>(array: &'a PyReadonlyArray2<'_, R>) -> Cow<'a, [R]> {
    // Contiguous is not enough: an array in Fortran order is that too.
    match array.as_slice() {
        Ok(slice) if array.is_c_contiguous() => Cow::Borrowed(slice),
        _ => Cow::Owned(array.as_array().iter().copied().collect()),
    }
}

/// Whether ranks of the space fit in 8 bits.
pub fn is_narrow(space: &DesignSpace) -> bool {
    space.cardinalities().iter().all(|&cardinality| cardinality <= 256)
}

/// A new NumPy matrix of the space's rank dtype from rows of ranks.
pub fn matrix<'py>(py: Python<'py>, space: &DesignSpace, ranks: &[u16]) -> PyResult<Bound<'py, PyAny>> {
    let shape = [ranks.len() / space.dimensions(), space.dimensions()];
    if is_narrow(space) {
        let narrow: Vec<u8> = ranks.iter().map(|&rank| u8::put(rank.get())).collect();
        Ok(narrow.to_pyarray(py).reshape(shape)?.into_any())
    } else {
        Ok(ranks.to_pyarray(py).reshape(shape)?.into_any())
    }
}
