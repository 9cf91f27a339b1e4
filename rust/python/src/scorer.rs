//! A Python callable as a scorer.

use numpy::{PyArray1, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use prime_fast_core as core;
use prime_fast_core::search::Scorer;
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arrays::matrix;
use crate::error::data;
use crate::signals::Signals;

/// The error of a scorer: Python's, or the search's own.
pub enum Failure {
    Python(PyErr),
    Core(core::Error),
}

impl From<core::Error> for Failure {
    fn from(error: core::Error) -> Self {
        Self::Core(error)
    }
}

/// Calls Python once a batch.
pub struct Call<'a> {
    pub space: &'a core::DesignSpace,
    pub scorer: Py<PyAny>,
    /// Designs a call, smaller batches being filled up with their first design: one shape, one compilation.
    pub pad: Option<usize>,
    pub nan_is_infeasible: bool,
    /// Told where the callable raises `KeyboardInterrupt`.
    pub signals: &'a Signals,
}

impl Scorer for Call<'_> {
    type Error = Failure;

    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> Result<(), Failure> {
        let called = Python::attach(|py| self.call(py, ranks, n, scores, violations));
        if let Err(error) = &called
            && Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py))
        {
            self.signals.stop();
        }
        called.map_err(Failure::Python)?;
        if self.nan_is_infeasible {
            let columns = scores.len() / n;
            for (scores, violation) in scores.chunks_mut(columns).zip(violations) {
                if *violation <= 0.0 && scores.iter().any(|score| score.is_nan()) {
                    *violation = f64::INFINITY;
                }
            }
        }
        Ok(())
    }
}

impl Call<'_> {
    fn call(
        &self,
        py: Python<'_>,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> PyResult<()> {
        let rows = self.pad.map_or(n, |rows| rows.max(n));
        let width = self.space.dimensions();
        // A new array each time: JAX may read the last one still.
        let designs = if rows > n {
            let mut padded = ranks.to_vec();
            padded.extend(ranks[..width].iter().copied().cycle().take((rows - n) * width));
            matrix(py, self.space, &padded)?
        } else {
            matrix(py, self.space, ranks)?
        };
        let returned = self.scorer.bind(py).call1((designs,))?;
        let columns = scores.len() / n;
        let Ok(pair) = returned.cast::<PyTuple>() else {
            return fill(py, &returned, "scores", rows, columns, scores);
        };
        if pair.len() != 2 {
            return Err(data(format!(
                "the scorer returned {} arrays; it must return scores, or scores and violations",
                pair.len()
            )));
        }
        fill(py, &pair.get_item(0)?, "scores", rows, columns, scores)?;
        fill(py, &pair.get_item(1)?, "violations", rows, 1, violations)
    }
}

/// Copies the first rows of an array that a scorer returned, whatever real dtype it has, device arrays included.
fn fill(
    py: Python<'_>,
    returned: &Bound<'_, PyAny>,
    what: &str,
    rows: usize,
    columns: usize,
    into: &mut [f64],
) -> PyResult<()> {
    let no_numbers = |error: PyErr| {
        if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py) {
            return data(format!("the scorer's {what} are no array of numbers: {}", error.value(py)));
        }
        error
    };
    let numpy = py.import("numpy")?;
    // NumPy forgets the mask of what it makes an array of.
    if numpy.getattr("ma")?.call_method1("is_masked", (returned,))?.is_truthy()? {
        return Err(data(format!(
            "the scorer's {what} are masked in places; fill those, with NaN or a violation above 0 where a design is \
             infeasible"
        )));
    }
    let array = numpy.call_method1("asarray", (returned,)).map_err(no_numbers)?;
    // Booleans, integers, floats, and the short floats of accelerators, whose kind is V like that of records.
    let dtype = array.cast::<PyUntypedArray>()?.dtype();
    let kind: char = dtype.getattr("kind")?.extract()?;
    if !"biufV".contains(kind) || dtype.has_fields() {
        let dtype = dtype.str()?;
        return Err(data(format!("the scorer's {what} have dtype {dtype}; they must be real numbers")));
    }
    let asked = PyDict::new(py);
    asked.set_item("dtype", "float64")?;
    let array = numpy.call_method("asarray", (array,), Some(&asked)).map_err(no_numbers)?;
    let untyped = array.cast::<PyUntypedArray>()?;
    let shape = untyped.shape();
    let fits = if columns == 1 { shape == [rows] } else { shape == [rows, columns] };
    if !fits {
        let wanted = if columns == 1 { format!("({rows},)") } else { format!("({rows}, {columns})") };
        return Err(data(format!(
            "the scorer's {what} have shape {shape:?}; they must have shape {wanted}, one {}a design",
            if columns == 1 { "" } else { "row " },
        )));
    }
    let flat = array.call_method0("ravel")?;
    for (slot, &value) in into.iter_mut().zip(flat.cast::<PyArray1<f64>>()?.readonly().as_array()) {
        *slot = value;
    }
    Ok(())
}
