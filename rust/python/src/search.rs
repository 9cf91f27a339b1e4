//! `Genetic` by ask and tell, and the driver `minimize`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods, ToPyArray};
use prime_fast_core as core;
use prime_fast_core::search::{
    self, GeneticOptions, LimitedSpace, Optimizer, Options, Outcome, Progress, Random, Stop,
};
use prime_fast_core::simulator::Output;
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arrays::{Ranks, matrix};
use crate::error::{configuration, data, raise};
use crate::simulator::Simulator;
use crate::simulator::{install, pool};
use crate::space::DesignSpace;

/// A genetic algorithm by ask and tell.
#[pyclass(frozen, module = "prime_fast._core")]
pub struct Genetic {
    domain: Arc<LimitedSpace>,
    inner: Mutex<search::Genetic<Arc<LimitedSpace>>>,
}

fn domain(space: &DesignSpace, limits: &[(String, f64)]) -> PyResult<Arc<LimitedSpace>> {
    Ok(Arc::new(LimitedSpace::new((*space.inner).clone(), limits).map_err(raise)?))
}

impl Genetic {
    fn lock(&self) -> MutexGuard<'_, search::Genetic<Arc<LimitedSpace>>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Genetic {
    #[new]
    #[pyo3(signature = (space, limits, seed, population))]
    fn new(space: &DesignSpace, limits: Vec<(String, f64)>, seed: u64, population: usize) -> PyResult<Self> {
        let domain = domain(space, &limits)?;
        let options = GeneticOptions { population, seed };
        let inner = search::Genetic::new(Arc::clone(&domain), options).map_err(raise)?;
        Ok(Self { domain, inner: Mutex::new(inner) })
    }

    fn ask<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyAny>> {
        let mut ranks = Vec::new();
        py.detach(|| self.lock().ask(n, &mut ranks)).map_err(raise)?;
        matrix(py, self.domain.space(), &ranks)
    }

    fn tell(
        &self,
        py: Python<'_>,
        scores: PyReadonlyArray1<'_, f64>,
        violations: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        let (scores, violations) = (scores.as_array().to_vec(), violations.as_array().to_vec());
        py.detach(|| self.lock().tell(&scores, &violations)).map_err(raise)
    }

    fn start_with(&self, designs: &Bound<'_, PyAny>) -> PyResult<usize> {
        let space = self.domain.space();
        let ranks = Ranks::new(designs, space.dimensions())?.widened(space)?;
        self.lock().start_with(&ranks).map_err(raise)
    }

    /// Ranks, score and violation of the best design told so far.
    #[getter]
    fn best<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, f64, f64)>> {
        let inner = self.lock();
        let Some(best) = inner.best() else { return Ok(None) };
        Ok(Some((matrix(py, self.domain.space(), &best.ranks)?, best.score, best.violation)))
    }
}

/// The error of a scorer: Python's, or the search's own.
enum Failure {
    Python(PyErr),
    Core(core::Error),
}

impl From<core::Error> for Failure {
    fn from(error: core::Error) -> Self {
        Self::Core(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

/// Copies one array that a scorer returned, whatever float or integer dtype it has, device arrays included.
fn fill(py: Python<'_>, returned: &Bound<'_, PyAny>, what: &str, into: &mut [f64]) -> PyResult<()> {
    let asked = PyDict::new(py);
    asked.set_item("dtype", "float64")?;
    let array = py.import("numpy")?.call_method("asarray", (returned,), Some(&asked)).map_err(|error| {
        if error.is_instance_of::<PyTypeError>(py) || error.is_instance_of::<PyValueError>(py) {
            return data(format!("the scorer's {what} are no array of numbers: {}", error.value(py)));
        }
        error
    })?;
    let untyped = array.cast::<PyUntypedArray>()?;
    if untyped.shape() != [into.len()] {
        return Err(data(format!(
            "the scorer's {what} have shape {:?}; they must have shape ({},), one a design",
            untyped.shape(),
            into.len()
        )));
    }
    for (slot, &value) in into.iter_mut().zip(array.cast::<PyArray1<f64>>()?.readonly().as_array()) {
        *slot = value;
    }
    Ok(())
}

/// Scores one batch by a Python callable.
fn call(
    space: &core::DesignSpace,
    scorer: &Py<PyAny>,
    ranks: &[u16],
    scores: &mut [f64],
    violations: &mut [f64],
) -> PyResult<()> {
    Python::attach(|py| {
        // A new array each time: JAX may read the last one still.
        let returned = scorer.bind(py).call1((matrix(py, space, ranks)?,))?;
        if let Ok(pair) = returned.cast::<PyTuple>() {
            if pair.len() != 2 {
                return Err(data(format!(
                    "the scorer returned {} arrays; it must return scores, or scores and violations",
                    pair.len()
                )));
            }
            fill(py, &pair.get_item(0)?, "scores", scores)?;
            return fill(py, &pair.get_item(1)?, "violations", violations);
        }
        fill(py, &returned, "scores", scores)
    })
}

/// Scores one batch by the simulator; the violation is 1 where a check fails, else by how much of themselves
/// limits are exceeded.
fn simulate(
    simulator: &core::simulator::Simulator,
    objective: Output,
    limits: &[(Output, f64)],
    ranks: &[u16],
    scores: &mut [f64],
    violations: &mut [f64],
) -> core::Result<()> {
    let result = simulator.score(ranks)?;
    for row in 0..scores.len() {
        scores[row] = objective.of_row(&result, row);
        let excess = |&(output, limit): &(Output, f64)| (output.of_row(&result, row) / limit - 1.0).max(0.0);
        let feasible = result.reason[row] == 0;
        violations[row] = if feasible { limits.iter().map(excess).sum() } else { 1.0 };
    }
    Ok(())
}

/// The simulator's output of that name.
fn objective_named(name: &str) -> PyResult<Output> {
    Output::named(name).ok_or_else(|| {
        let known = Output::ALL.map(Output::name).join(", ");
        configuration(format!("unknown objective `{name}`; the simulator gives {known}"))
    })
}

/// Searches a space for the least score; see `prime_fast.search.minimize`.
#[pyfunction]
#[pyo3(signature = (space, scorer, *, objective, limits, method, evaluations, batch, seed, keep, population, start, threads, callback))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub fn minimize<'py>(
    py: Python<'py>,
    space: &DesignSpace,
    scorer: &Bound<'py, PyAny>,
    objective: &str,
    limits: Vec<(String, f64)>,
    method: &str,
    evaluations: usize,
    batch: usize,
    seed: u64,
    keep: usize,
    population: usize,
    start: Option<&Bound<'py, PyAny>>,
    threads: Option<usize>,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let simulated = scorer.is_instance_of::<Simulator>();
    let output =
        |name: &str| Output::named(name).filter(|_| simulated && space.inner.metric_position(name).is_err());
    let on_outputs: Vec<(Output, f64)> =
        limits.iter().filter_map(|(name, limit)| Some((output(name)?, *limit))).collect();
    let limits: Vec<_> = limits.into_iter().filter(|(name, _)| output(name).is_none()).collect();
    if let Some((output, limit)) = on_outputs.iter().find(|(_, limit)| !(limit.is_finite() && *limit > 0.0)) {
        return Err(raise(core::search::improper_limit(output.name(), *limit)));
    }
    let domain = domain(space, &limits)?;
    let pool = pool(threads)?;
    let mut optimizer: Box<dyn Optimizer> = match method {
        "genetic" => {
            let options = GeneticOptions { population, seed };
            let mut genetic = search::Genetic::new(Arc::clone(&domain), options).map_err(raise)?;
            if let Some(designs) = start {
                let ranks = Ranks::new(designs, space.inner.dimensions())?.widened(&space.inner)?;
                genetic.start_with(&ranks).map_err(raise)?;
            }
            Box::new(genetic)
        }
        "random" if start.is_some() => {
            return Err(configuration(
                "method `random` takes no `start`; leave it out or use genetic".into(),
            ));
        }
        "random" => Box::new(Random::new(Arc::clone(&domain), seed).map_err(raise)?),
        _ => return Err(configuration(format!("unknown method `{method}`; known: genetic, random"))),
    };
    let options = Options { evaluations, batch, keep, target: None };
    let stop = AtomicBool::new(false);
    // The first exception that a callback or a signal raised between batches.
    let mut raised: Option<PyErr> = None;
    let mut progress = |progress: Progress| {
        let called = Python::attach(|py| {
            py.check_signals()?;
            if let Some(callback) = &callback {
                callback.call1(py, (progress.evaluations, progress.best, progress.seconds))?;
            }
            Ok(())
        });
        if let Err(error) = called {
            stop.store(true, Ordering::Relaxed);
            raised = Some(error);
        }
    };
    let outcome = if let Ok(simulator) = scorer.cast::<Simulator>() {
        let simulator = Arc::clone(&simulator.get().inner);
        if simulator.space() != &*space.inner {
            return Err(configuration("the simulator and the search have different design spaces".into()));
        }
        let objective = objective_named(objective)?;
        let mut score = |ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]| {
            simulate(&simulator, objective, &on_outputs, ranks, scores, violations).map_err(Failure::from)
        };
        py.detach(|| {
            install(pool.as_ref(), || {
                search::minimize(&*domain, &mut *optimizer, &mut score, &options, &stop, &mut progress)
            })
        })
    } else {
        let scorer = scorer.clone().unbind();
        let mut score = |ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]| {
            call(&space.inner, &scorer, ranks, scores, violations).map_err(|error| {
                if Python::attach(|py| error.is_instance_of::<PyKeyboardInterrupt>(py)) {
                    stop.store(true, Ordering::Relaxed);
                }
                Failure::Python(error)
            })
        };
        py.detach(|| search::minimize(&*domain, &mut *optimizer, &mut score, &options, &stop, &mut progress))
    };
    match (outcome, raised) {
        (_, Some(error)) if !error.is_instance_of::<PyKeyboardInterrupt>(py) => Err(error),
        // Interrupted before anything was scored: there is no best so far to return.
        (Ok(outcome), _) if outcome.stop == Stop::Interrupted && outcome.best.is_empty() => {
            Err(PyKeyboardInterrupt::new_err(()))
        }
        (Ok(outcome), _) => result(py, &space.inner, &outcome),
        (Err(Failure::Python(error)), _) => Err(error),
        (Err(Failure::Core(error)), _) => Err(raise(error)),
    }
}

fn result<'py>(
    py: Python<'py>,
    space: &core::DesignSpace,
    outcome: &Outcome,
) -> PyResult<Bound<'py, PyDict>> {
    let ranks: Vec<u16> = outcome.best.iter().flat_map(|scored| scored.ranks.iter().copied()).collect();
    let column = |value: fn(&search::Scored) -> f64| outcome.best.iter().map(value).collect::<Vec<_>>();
    let history: Vec<(usize, f64)> =
        outcome.history.iter().map(|step| (step.evaluations, step.score)).collect();
    let fields = PyDict::new(py);
    fields.set_item("designs", matrix(py, space, &ranks)?)?;
    fields.set_item("scores", column(|scored| scored.score).to_pyarray(py))?;
    fields.set_item("violations", column(|scored| scored.violation).to_pyarray(py))?;
    fields.set_item("evaluations", outcome.evaluations)?;
    fields.set_item("history", history)?;
    fields.set_item(
        "stopped_by",
        match outcome.stop {
            Stop::Evaluations => "evaluations",
            Stop::Exhausted => "exhausted",
            Stop::Interrupted => "interrupt",
            Stop::Target => "target",
        },
    )?;
    fields.set_item("seconds", outcome.seconds)?;
    fields.set_item("scoring_seconds", outcome.scoring_seconds)?;
    Ok(fields)
}
