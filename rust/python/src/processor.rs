//! What the kernels make of the processor.

use prime_fast_core::processor::{features, kernel};
use pyo3::prelude::*;

/// The version of the kernels that runs here, and the processor's features that versions ask for.
#[pyfunction]
pub fn cpu_features() -> (&'static str, Vec<(&'static str, bool)>) {
    (kernel(), features())
}
