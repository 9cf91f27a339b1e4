//! `Simulator`.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use prime_fast_core as core;
use prime_fast_core::simulator::{Scores, Technology};
use prime_fast_core::space::Rank;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arrays::{Ranks, rows};
use crate::error::{configuration, raise};
use crate::space::DesignSpace;
use crate::workload::Application;

/// Designs between two looks at the signals.
const SLICE: usize = 1 << 15;

/// The simulator of one application on the designs of one space.
#[pyclass(frozen, module = "prime_fast._core")]
pub struct Simulator {
    pub inner: Arc<core::simulator::Simulator>,
}

/// A thread pool of a chosen size, or nothing for the process's own.
pub fn pool(threads: Option<usize>) -> PyResult<Option<rayon::ThreadPool>> {
    match threads {
        None => Ok(None),
        Some(0) => Err(configuration("threads is 0; it must be at least 1".into())),
        Some(threads) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map(Some).map_err(|error| configuration(format!("can't start {threads} threads: {error}")))
        }
    }
}

/// Runs on the given pool, or the process's own.
pub fn install<T: Send>(pool: Option<&rayon::ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

impl Simulator {
    fn score_rows<R: Rank>(&self, py: Python<'_>, ranks: &[R], threads: Option<usize>) -> PyResult<Scores> {
        let pool = pool(threads)?;
        let mut all = Scores::default();
        for slice in ranks.chunks(SLICE * self.inner.space().dimensions()) {
            let scores = py.detach(|| install(pool.as_ref(), || self.inner.score(slice))).map_err(raise)?;
            all.latency_us.extend(scores.latency_us);
            all.area_mm2.extend(scores.area_mm2);
            all.energy_uj.extend(scores.energy_uj);
            all.reason.extend(scores.reason);
            py.check_signals()?;
        }
        Ok(all)
    }
}

#[pymethods]
impl Simulator {
    /// `technology` is the text of a TOML file and where it is from.
    #[new]
    #[pyo3(signature = (space, application, technology=None))]
    fn new(
        space: &DesignSpace,
        application: &Application,
        technology: Option<(String, String)>,
    ) -> PyResult<Self> {
        let technology = match technology {
            None => Technology::bundled(),
            Some((text, origin)) => Technology::from_toml(&text, &origin),
        };
        let technology = technology.map_err(raise)?;
        let (space, application) = ((*space.inner).clone(), (*application.inner).clone());
        let inner = core::simulator::Simulator::new(space, application, technology).map_err(raise)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    #[getter]
    fn reasons(&self) -> Vec<String> {
        self.inner.reasons()
    }

    /// Arrays of latency, area, energy and reason.
    #[pyo3(signature = (designs, threads=None))]
    fn score<'py>(
        &self,
        py: Python<'py>,
        designs: &Bound<'py, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let scores = match Ranks::new(designs, self.inner.space().dimensions())? {
            Ranks::Narrow(array) => self.score_rows(py, &rows(&array), threads)?,
            Ranks::Wide(array) => self.score_rows(py, &rows(&array), threads)?,
        };
        let floats = |values: Vec<f64>| -> Bound<'py, PyArray1<f64>> { values.into_pyarray(py) };
        (
            floats(scores.latency_us),
            floats(scores.area_mm2),
            floats(scores.energy_uj),
            scores.reason.into_pyarray(py),
        )
            .into_pyobject(py)
    }

    /// Why each design is rejected, in words, or nothing.
    fn explain(&self, designs: &Bound<'_, PyAny>) -> PyResult<Vec<Option<String>>> {
        let space = self.inner.space();
        let ranks = Ranks::new(designs, space.dimensions())?.widened(space)?;
        let explain = |design: &[u16]| -> PyResult<Option<String>> {
            let score = self.inner.score_one(design).map_err(raise)?;
            Ok(score.rejection.map(|rejection| self.inner.describe(&rejection)))
        };
        ranks.chunks_exact(space.dimensions()).map(explain).collect()
    }
}
