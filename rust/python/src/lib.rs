//! Python bindings of prime-fast-core: each wrapper takes NumPy arrays, detaches, calls the core, wraps the result.

// PyO3's argument extraction hands over owned values.
#![allow(clippy::needless_pass_by_value)]

mod arrays;
mod design;
mod error;
mod io;
mod processor;
mod scorer;
mod search;
mod signals;
mod simulator;
mod solve;
mod space;
mod sweep;
mod workload;

/// Native part of `prime_fast`; use the public modules instead.
#[pyo3::pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::design::{bundled_designs, bundled_technology};
    #[pymodule_export]
    use crate::io::{is_tfrecord, read_tfrecords};
    #[pymodule_export]
    use crate::processor::cpu_features;
    #[pymodule_export]
    use crate::search::{Search, hypervolume};
    #[pymodule_export]
    use crate::simulator::Simulator;
    #[pymodule_export]
    use crate::solve::solve;
    #[pymodule_export]
    use crate::space::DesignSpace;
    #[pymodule_export]
    use crate::sweep::sweep;
    #[pymodule_export]
    use crate::workload::Application;

    #[pymodule_init]
    fn names(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("METHODS", prime_fast_core::search::METHODS)?;
        module.add(
            "OUTPUTS",
            prime_fast_core::simulator::Output::ALL.map(prime_fast_core::simulator::Output::name),
        )
    }

    /// Version of the native part.
    #[pymodule_export]
    const __VERSION__: &str = env!("CARGO_PKG_VERSION");
}
