//! Logged designs from TFRecord files.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use numpy::IntoPyArray;
use prime_fast_core::io;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::raise;

/// Whether the file's first record is one of a TFRecord file, plain or compressed.
#[pyfunction]
pub fn is_tfrecord(py: Python<'_>, path: PathBuf) -> bool {
    py.detach(|| File::open(path).is_ok_and(io::is_tfrecord))
}

/// Reads the designs of TFRecord files; see `prime_fast.logs.read_tfrecords`.
#[pyfunction]
#[pyo3(signature = (paths, *, skip_bad, threads, callback))]
pub fn read_tfrecords(
    py: Python<'_>,
    paths: Vec<PathBuf>,
    skip_bad: bool,
    threads: Option<usize>,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'_, PyDict>> {
    let stop = AtomicBool::new(false);
    // The first exception that the callback or a signal raised.
    let mut raised: Option<PyErr> = None;
    let mut progress = |progress: io::ReadProgress| {
        let called = Python::attach(|py| {
            py.check_signals()?;
            callback.as_ref().map_or(Ok(()), |callback| callback.call1(py, (progress.bytes,)).map(|_| ()))
        });
        if let Err(error) = called {
            stop.store(true, Ordering::Relaxed);
            raised.get_or_insert(error);
        }
    };
    let read = py.detach(|| io::read_designs(&paths, skip_bad, threads, &stop, &mut progress));
    if let Some(error) = raised {
        return Err(error);
    }
    let read = read.map_err(raise)?;
    if read.stopped {
        return Err(PyKeyboardInterrupt::new_err(()));
    }
    let columns = PyDict::new(py);
    for (name, column) in io::FEATURES.into_iter().zip(read.floats) {
        columns.set_item(name, column.into_pyarray(py))?;
    }
    columns.set_item(io::FEATURES[io::FLOATS], read.infeasible.into_pyarray(py))?;
    let bad: Vec<_> =
        read.bad.into_iter().map(|bad| (bad.file, bad.problem, bad.count, bad.examples)).collect();
    let fields = PyDict::new(py);
    fields.set_item("columns", columns)?;
    fields.set_item("rows", read.rows)?;
    fields.set_item("bad", bad)?;
    fields.set_item("ignored", read.ignored.into_iter().collect::<Vec<_>>())?;
    Ok(fields)
}
