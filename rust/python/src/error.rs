//! Core errors as the exceptions of `prime_fast.errors`.

use prime_fast_core::Error;
use pyo3::PyErr;

mod exceptions {
    #![allow(missing_docs)]
    pyo3::import_exception!(prime_fast.errors, ConfigurationError);
    pyo3::import_exception!(prime_fast.errors, DataError);
    pyo3::import_exception!(prime_fast.errors, NoFeasibleDesignError);
}

/// The exception for an error of the core.
pub fn raise(error: Error) -> PyErr {
    match error {
        Error::Configuration(message) => exceptions::ConfigurationError::new_err(message),
        Error::Data(message) => exceptions::DataError::new_err(message),
        Error::NoFeasibleDesign(found) => exceptions::NoFeasibleDesignError::new_err(found.message),
    }
}

/// A `ConfigurationError`.
pub fn configuration(message: String) -> PyErr {
    raise(Error::Configuration(message))
}

/// A `DataError`.
pub fn data(message: String) -> PyErr {
    raise(Error::Data(message))
}
