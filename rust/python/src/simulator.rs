//! `Simulator`.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use prime_fast_core as core;
use prime_fast_core::simulator::{Array, Explanation, LayerReport, Residency, Scores, Technology};
use prime_fast_core::space::Rank;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arrays::{Ranks, rows};
use crate::error::{configuration, raise};
use crate::space::DesignSpace;
use crate::workload::Application;

/// Designs between two looks at the signals: some ms from tables, a second where each is simulated by itself.
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
        Some(threads) if threads > MOST_THREADS => {
            Err(configuration(format!("threads is {threads}; it must be at most {MOST_THREADS}")))
        }
        Some(threads) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map(Some).map_err(|error| configuration(format!("can't start {threads} threads: {error}")))
        }
    }
}

/// More threads are taken for a mistake, before they are started.
const MOST_THREADS: usize = 1024;

/// Runs on the given pool, or the process's own.
pub fn install<T: Send>(pool: Option<&rayon::ThreadPool>, work: impl FnOnce() -> T + Send) -> T {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

impl Simulator {
    fn score_rows<R: Rank>(&self, py: Python<'_>, ranks: &[R], threads: Option<usize>) -> PyResult<Scores> {
        // One thread is the caller's: to start another takes longer than to score a small batch.
        let inline = threads == Some(1);
        let (pool, space) = (pool(threads.filter(|_| !inline))?, self.inner.space());
        let mut all = Scores::new(ranks.len() / space.dimensions());
        for (slice, part) in ranks.chunks(SLICE * space.dimensions()).enumerate() {
            let (scores, first) = (&mut all, slice * SLICE);
            let scored = py.detach(|| {
                if inline {
                    self.inner.score_part_inline(part, scores, first)
                } else {
                    install(pool.as_ref(), || self.inner.score_part(part, scores, first))
                }
            });
            // The whole batch knows the row that is wrong.
            scored.map_err(|error| raise(space.validate(ranks).err().unwrap_or(error)))?;
            py.check_signals()?;
        }
        Ok(all)
    }
}

/// A dictionary of the named fields of a record.
macro_rules! fields {
    ($py:expr, $record:expr, $($field:ident),+ $(,)?) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(stringify!($field), &$record.$field)?;)+
        PyResult::Ok(fields)
    }};
}

fn layer_fields<'py>(py: Python<'py>, layer: &LayerReport) -> PyResult<Bound<'py, PyDict>> {
    fields!(
        py,
        layer,
        name,
        kind,
        mapping,
        bound,
        time_us,
        compute_cycles,
        port_cycles,
        bus_cycles,
        dram_cycles,
        macs,
        utilization,
        active_pes,
        splits,
        instructions,
        port_bytes,
        bus_bytes,
        dram_weight_bytes,
        dram_activation_bytes,
        mac_energy_uj,
        port_energy_uj,
        dram_energy_uj,
        leakage_energy_uj,
    )
}

fn residency_fields<'py>(py: Python<'py>, residency: &Residency) -> PyResult<Bound<'py, PyDict>> {
    fields!(
        py,
        residency,
        pe_memories_bytes,
        activation_bytes,
        activation_layer,
        weight_bytes,
        weight_limit_bytes,
        prefetch_bytes,
        resident_weight_bytes,
        streamed_weight_bytes,
    )
}

fn array_fields<'py>(py: Python<'py>, array: &Array) -> PyResult<Bound<'py, PyDict>> {
    fields!(
        py,
        array,
        clock_mhz,
        pes,
        macs_per_cycle,
        port_bytes_per_cycle,
        bus_bytes_per_cycle,
        dram_weight_bytes_per_cycle,
        dram_activation_bytes_per_cycle,
        invocation_us,
        layer_us,
        leakage_mw,
    )
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

    /// Arrays of latency, area, energy, peak power and reason.
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
            floats(scores.peak_power_mw),
            scores.reason.into_pyarray(py),
        )
            .into_pyobject(py)
    }

    /// What the score of one design is made of, as dictionaries of the fields of the core's `Explanation`.
    fn report<'py>(&self, py: Python<'py>, design: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let simulator = &self.inner;
        let ranks = Ranks::new(design, simulator.space().dimensions())?.widened(simulator.space())?;
        let Explanation { score, layers, residency, array } = simulator.explain(&ranks).map_err(raise)?;
        let rejection = score.rejection.as_ref().map(|rejection| {
            let fields = fields!(py, rejection, needed, available)?;
            fields.set_item("check", &simulator.reasons()[simulator.reason(rejection.check)])?;
            let layer = rejection.layer.map(|layer| &simulator.application().layers()[layer].name);
            fields.set_item("layer", layer)?;
            fields.set_item("text", simulator.describe(rejection))?;
            PyResult::Ok(fields)
        });
        let layers = layers.iter().map(|layer| layer_fields(py, layer)).collect::<PyResult<Vec<_>>>()?;
        let report = fields!(py, score, latency_us, area_mm2, energy_uj, peak_power_mw)?;
        report.set_item("rejection", rejection.transpose()?)?;
        report.set_item("layers", layers)?;
        report.set_item("residency", residency_fields(py, &residency)?)?;
        report.set_item("array", array_fields(py, &array)?)?;
        Ok(report)
    }

    /// How far each design is from passing all checks.
    fn violation<'py>(
        &self,
        py: Python<'py>,
        designs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let space = self.inner.space();
        let ranks = Ranks::new(designs, space.dimensions())?.widened(space)?;
        let designs = ranks.chunks_exact(space.dimensions());
        let violations: Vec<f64> = py.detach(|| designs.map(|ranks| self.inner.violation(ranks)).collect());
        Ok(violations.into_pyarray(py))
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
