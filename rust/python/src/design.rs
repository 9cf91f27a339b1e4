//! Published designs and the bundled technology, as texts.

use prime_fast_core::simulator;
use pyo3::prelude::*;

/// File name and text of each published design.
#[pyfunction]
pub fn bundled_designs() -> Vec<(&'static str, &'static str)> {
    simulator::bundled_designs().collect()
}

/// Text of the technology constants.
#[pyfunction]
pub fn bundled_technology() -> &'static str {
    simulator::bundled_technology()
}
