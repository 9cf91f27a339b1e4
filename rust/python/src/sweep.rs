//! The sweep through a whole space.

use std::sync::atomic::{AtomicBool, Ordering};

use numpy::IntoPyArray;
use prime_fast_core as core;
use prime_fast_core::simulator::Output;
use prime_fast_core::sweep::{SweepOptions, SweepProgress};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arrays::matrix;
use crate::error::raise;
use crate::simulator::Simulator;

/// Ranks of designs and their outputs by name.
fn designs<'py>(
    py: Python<'py>,
    simulator: &core::simulator::Simulator,
    indices: &[u64],
) -> PyResult<Bound<'py, PyTuple>> {
    let space = simulator.space();
    let mut ranks = vec![0; indices.len() * space.dimensions()];
    let mut values = Output::ALL.map(|_| Vec::with_capacity(indices.len()));
    for (row, &index) in ranks.chunks_exact_mut(space.dimensions()).zip(indices) {
        space.ranks_of(index, row);
        let score = simulator.score_one(row).map_err(raise)?;
        for (column, output) in values.iter_mut().zip(Output::ALL) {
            column.push(output.of(&score));
        }
    }
    let outputs = PyDict::new(py);
    for (column, output) in values.into_iter().zip(Output::ALL) {
        outputs.set_item(output.name(), column.into_pyarray(py))?;
    }
    (matrix(py, space, &ranks)?, outputs).into_pyobject(py)
}

/// Simulates all designs of a space; see `prime_fast.sweep`.
#[pyfunction]
#[pyo3(signature = (simulator, *, objective, limits, keep, front, histograms, threads, callback))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub fn sweep<'py>(
    py: Python<'py>,
    simulator: &Simulator,
    objective: String,
    limits: Vec<(String, f64)>,
    keep: usize,
    front: Vec<String>,
    histograms: Vec<String>,
    threads: Option<usize>,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let stop = AtomicBool::new(false);
    // The first exception that a callback or a signal raised.
    let mut raised: Option<PyErr> = None;
    let mut progress = |progress: SweepProgress| {
        let called = Python::attach(|py| {
            py.check_signals()?;
            if let Some(callback) = &callback {
                callback.call1(py, (progress.designs, progress.best, progress.seconds))?;
            }
            Ok(())
        });
        if let Err(error) = called {
            stop.store(true, Ordering::Relaxed);
            raised.get_or_insert(error);
        }
    };
    let options = SweepOptions { objective, limits, keep, front, histograms, threads };
    let inner = &*simulator.inner;
    let found = py.detach(|| core::sweep::sweep(inner, &options, &stop, &mut progress)).map_err(raise)?;
    if let Some(error) = raised.filter(|error| !error.is_instance_of::<PyKeyboardInterrupt>(py)) {
        return Err(error);
    }
    let best: Vec<u64> = found.best.iter().map(|&(index, _)| index).collect();
    let bins = |bins: Vec<core::sweep::Bin>| -> Vec<(f64, f64, u64)> {
        bins.into_iter().map(|bin| (bin.lower, bin.upper, bin.count)).collect()
    };
    let fields = PyDict::new(py);
    fields.set_item("best", designs(py, inner, &best)?)?;
    fields.set_item("front", designs(py, inner, &found.front)?)?;
    fields.set_item("histograms", found.histograms.into_iter().map(bins).collect::<Vec<_>>())?;
    fields.set_item("designs", found.designs)?;
    fields.set_item("feasible", found.feasible)?;
    fields.set_item("within_limits", found.within_limits)?;
    fields.set_item("rejected", found.rejected)?;
    fields.set_item("ties", found.ties)?;
    fields.set_item("complete", found.complete)?;
    fields.set_item("seconds", found.seconds)?;
    Ok(fields)
}
