//! Searches by ask and tell, and the driver that runs them against a simulator or a Python callable.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray1, ToPyArray};
use prime_fast_core as core;
use prime_fast_core::search::{
    self, Event, Journal, LimitedSpace, MeasureRange, Optimizer, Options, Outcome, Record, Run, Session,
    Setup, Simulation, Stop,
};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rayon::{Scope, ThreadPool};

use crate::arrays::{Ranks, matrix};
use crate::error::{configuration, data, raise};
use crate::scorer::{Call, Failure};
use crate::signals::{PERIOD, Signals};
use crate::simulator::{Simulator, pool};
use crate::space::DesignSpace;

/// A batch that takes longer to make is given up on Ctrl-C.
const LONG: Duration = Duration::from_millis(250);

type Inner = Session<Arc<LimitedSpace>, Box<dyn Optimizer>>;

/// An optimiser, all that was asked of it and told, and the best that it has found.
#[pyclass(frozen, module = "prime_fast._core")]
pub struct Search {
    domain: Arc<LimitedSpace>,
    method: String,
    setup: Setup,
    keep: usize,
    inner: Mutex<Inner>,
}

impl Search {
    /// A session of which nothing was asked.
    fn session(
        domain: &Arc<LimitedSpace>,
        method: &str,
        setup: &Setup,
        keep: usize,
        journal: bool,
    ) -> core::Result<Inner> {
        let optimizer = search::optimizer_named(method, Arc::clone(domain), setup)?;
        Session::new(Arc::clone(domain), optimizer, keep, journal)
    }

    /// The session, made again where Ctrl-C came in the middle of a batch: as if that had not been asked for.
    fn lock(&self) -> PyResult<MutexGuard<'_, Inner>> {
        let mut inner = self.held()?;
        if inner.is_cut()
            && let Some(journal) = inner.journal()
        {
            let again = Self::session(&self.domain, &self.method, &self.setup, self.keep, true);
            let again = again.and_then(|mut again| again.replay(journal).map(|()| again));
            *inner = again.map_err(raise)?;
        }
        Ok(inner)
    }

    /// The session as it is; waiting for it could wait for ever, since its holder may call Python.
    fn held(&self) -> PyResult<MutexGuard<'_, Inner>> {
        match self.inner.try_lock() {
            Ok(inner) => Ok(inner),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(configuration(
                "the search is in another call; a scorer or another thread can't use it meanwhile".into(),
            )),
        }
    }

    fn ranks(&self, designs: &Bound<'_, PyAny>) -> PyResult<Vec<u16>> {
        let space = self.domain.space();
        Ranks::new(designs, space.dimensions())?.widened(space)
    }
}

type Columns<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

#[pymethods]
impl Search {
    #[new]
    #[pyo3(signature = (space, method, *, limits, seed, objectives, measures, options, keep, journal))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python class")]
    fn new(
        space: &DesignSpace,
        method: &str,
        limits: Vec<(String, f64)>,
        seed: u64,
        objectives: usize,
        measures: Vec<(String, f64, f64, usize)>,
        options: Vec<(String, f64)>,
        keep: usize,
        journal: bool,
    ) -> PyResult<Self> {
        let domain = Arc::new(LimitedSpace::new((*space.inner).clone(), &limits).map_err(raise)?);
        let range = |(name, low, high, bins)| MeasureRange { name, low, high, bins };
        let setup = Setup { seed, objectives, measures: measures.into_iter().map(range).collect(), options };
        let inner = Self::session(&domain, method, &setup, keep, journal).map_err(raise)?;
        Ok(Self { domain, method: method.to_owned(), setup, keep, inner: Mutex::new(inner) })
    }

    fn ask<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyAny>> {
        let mut ranks = Vec::new();
        let mut inner = self.lock()?;
        // Also where the method could make a second batch: `tell` would take its scores for those of the first.
        if let Some(due) = inner.due() {
            let designs = due.len() / self.domain.space().dimensions();
            return Err(configuration(format!(
                "ask was called while the scores of {designs} designs are due; call tell first"
            )));
        }
        let session: &mut Inner = &mut inner;
        let signals = Signals::new();
        let asked = py.detach(|| session.ask_until(n, &mut ranks, &signals.interrupt().after(LONG)));
        if let Some(error) = signals.take() {
            return Err(error);
        }
        asked.map_err(raise)?;
        matrix(py, self.domain.space(), &ranks)
    }

    fn tell(
        &self,
        py: Python<'_>,
        scores: PyReadonlyArray1<'_, f64>,
        violations: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<()> {
        let (scores, violations) = (scores.as_array().to_vec(), violations.as_array().to_vec());
        let mut inner = self.lock()?;
        let session: &mut Inner = &mut inner;
        py.detach(|| session.tell(&scores, &violations)).map_err(raise)
    }

    #[pyo3(signature = (designs, scores = None, violations = None))]
    fn start_with(
        &self,
        designs: &Bound<'_, PyAny>,
        scores: Option<PyReadonlyArray1<'_, f64>>,
        violations: Option<PyReadonlyArray1<'_, f64>>,
    ) -> PyResult<usize> {
        let ranks = self.ranks(designs)?;
        let mut inner = self.lock()?;
        let Some((scores, violations)) = scores.zip(violations) else {
            return inner.start_with(&ranks).map_err(raise);
        };
        let (scores, violations) = (scores.as_array().to_vec(), violations.as_array().to_vec());
        inner.start_with_known(&ranks, &scores, &violations).map_err(raise)
    }

    /// The designs whose scores are due first.
    #[getter]
    fn due<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        matrix(py, self.domain.space(), self.lock()?.due().unwrap_or_default())
    }

    #[getter]
    fn columns(&self) -> PyResult<usize> {
        Ok(self.held()?.columns())
    }

    /// Ranks, score and violation of the best design told so far.
    #[getter]
    fn best<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>, f64, f64)>> {
        let inner = self.held()?;
        let Some(best) = inner.best() else { return Ok(None) };
        Ok(Some((matrix(py, self.domain.space(), &best.ranks)?, best.score, best.violation)))
    }

    #[getter]
    fn evaluations(&self) -> PyResult<usize> {
        Ok(self.held()?.evaluations())
    }

    /// Index, scores and violation of every design told, where they are written down.
    #[getter]
    fn told<'py>(&self, py: Python<'py>) -> PyResult<Option<Columns<'py>>> {
        let inner = self.held()?;
        Ok(inner.journal().map(|journal| record(py, &journal.told)))
    }

    /// All calls so far: kinds and sizes, start designs, their scores and violations, what was told.
    #[expect(clippy::type_complexity, reason = "arrays of a file, in their order")]
    fn journal<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<
        Option<(
            Bound<'py, PyArray1<u64>>,
            Bound<'py, PyAny>,
            Bound<'py, PyArray1<f64>>,
            Bound<'py, PyArray1<f64>>,
            Columns<'py>,
        )>,
    > {
        let inner = self.held()?;
        let Some(journal) = inner.journal() else { return Ok(None) };
        let code = |event: &Event| match *event {
            Event::Start(n) => [0, n as u64],
            Event::Known(n) => [1, n as u64],
            Event::Ahead => [2, 0],
            Event::Ask(n) => [3, n as u64],
            Event::Tell(n) => [4, n as u64],
        };
        let events: Vec<u64> = journal.events.iter().flat_map(code).collect();
        Ok(Some((
            events.into_pyarray(py),
            matrix(py, self.domain.space(), &journal.start)?,
            journal.start_scores.to_pyarray(py),
            journal.start_violations.to_pyarray(py),
            record(py, &journal.told),
        )))
    }

    /// Makes the calls of a journal.
    fn replay(
        &self,
        py: Python<'_>,
        events: PyReadonlyArray1<'_, u64>,
        start: &Bound<'_, PyAny>,
        start_scores: PyReadonlyArray1<'_, f64>,
        start_violations: PyReadonlyArray1<'_, f64>,
        told: (PyReadonlyArray1<'_, u64>, PyReadonlyArray1<'_, f64>, PyReadonlyArray1<'_, f64>),
    ) -> PyResult<()> {
        let events = events.as_array().to_vec();
        let event = |pair: &[u64]| {
            let n = usize::try_from(pair[1]).unwrap_or(usize::MAX);
            Ok(match pair[0] {
                0 => Event::Start(n),
                1 => Event::Known(n),
                2 => Event::Ahead,
                3 => Event::Ask(n),
                4 => Event::Tell(n),
                other => {
                    return Err(data(format!("the state of the search is damaged: it has a call {other}")));
                }
            })
        };
        let journal = Journal {
            events: events.chunks_exact(2).map(event).collect::<PyResult<_>>()?,
            start: self.ranks(start)?,
            start_scores: start_scores.as_array().to_vec(),
            start_violations: start_violations.as_array().to_vec(),
            told: Record {
                indices: told.0.as_array().to_vec(),
                scores: told.1.as_array().to_vec(),
                violations: told.2.as_array().to_vec(),
            },
        };
        let mut inner = self.lock()?;
        let session: &mut Inner = &mut inner;
        py.detach(|| session.replay(&journal)).map_err(raise)
    }

    /// Runs the search; see `prime_fast.search.minimize`. Returns what it came to, and the exception that ended
    /// it, if one did.
    #[pyo3(signature = (scorer, *, columns, limits, evaluations, batch, target, seconds, stagnation, overlap, pad,
        nan_is_infeasible, threads, callback))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
    fn minimize<'py>(
        &self,
        py: Python<'py>,
        scorer: &Bound<'py, PyAny>,
        columns: Vec<String>,
        limits: Vec<(String, f64)>,
        evaluations: usize,
        batch: usize,
        target: Option<f64>,
        seconds: Option<f64>,
        stagnation: Option<usize>,
        overlap: bool,
        pad: bool,
        nan_is_infeasible: bool,
        threads: Option<usize>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyDict>, Option<Bound<'py, PyAny>>)> {
        let space = self.domain.space();
        let options = Options { evaluations, batch, keep: 1, target, seconds, stagnation, overlap };
        let pool = pool(threads)?;
        let mut run = Run::new(&mut *self.lock()?, &options).map_err(raise)?;
        let signals = Signals::new();
        let interrupt = signals.interrupt();
        let mut simulation = match scorer.cast::<Simulator>() {
            Ok(simulator) => {
                let simulation = simulation(&simulator.get().inner, space, &columns, &limits)?;
                Some(simulation.until(interrupt.clone()))
            }
            Err(_) => None,
        };
        let scorer = scorer.clone().unbind();
        let mut call = Call {
            space,
            scorer,
            pad: pad.then_some(batch.min(evaluations)),
            nan_is_infeasible,
            signals: &signals,
        };
        let (reason, mut raised) = loop {
            let mut inner = self.held()?;
            let session: &mut Inner = &mut inner;
            let mut stepped = Ok(None);
            py.detach(|| match &mut simulation {
                // Steps on a thread of the pool: to hand each of their parts over would take longer than these.
                Some(simulation) => beside(pool.as_ref(), &signals, || {
                    while matches!(stepped, Ok(None)) {
                        stepped = run.step(session, simulation, &interrupt).map_err(Failure::Core);
                        if callback.is_some() {
                            break;
                        }
                    }
                }),
                // On this thread, where Python takes its signals.
                None => stepped = run.step(session, &mut call, &interrupt),
            });
            let progress = run.progress(&inner);
            drop(inner);
            if let Some(error) =
                signals.take().filter(|error| !error.is_instance_of::<PyKeyboardInterrupt>(py))
            {
                break (None, Some(error));
            }
            match stepped {
                Ok(Some(reason)) => break (Some(reason), None),
                Ok(None) => {}
                Err(Failure::Python(error)) => break (None, Some(error)),
                Err(Failure::Core(error)) => break (None, Some(raise(error))),
            }
            if let Some(callback) = &callback {
                let arguments = (progress.evaluations, progress.best, progress.seconds);
                let called = callback.call1(py, arguments).and_then(|_| py.check_signals());
                if let Err(error) = called {
                    if !error.is_instance_of::<PyKeyboardInterrupt>(py) {
                        break (None, Some(error));
                    }
                    signals.stop();
                }
            }
        };
        let inner = self.held()?;
        // Interrupted before anything was scored: there is no best so far to return.
        if reason == Some(Stop::Interrupted) && inner.best().is_none() {
            raised = Some(PyKeyboardInterrupt::new_err(()));
        }
        let outcome = run.outcome(&inner, reason.unwrap_or(Stop::Interrupted));
        let stopped_by = if raised.is_some() { "error" } else { outcome.stop.name() };
        let fields = fields(py, space, &outcome, inner.columns(), stopped_by)?;
        Ok((fields, raised.map(|error| error.into_value(py).into_bound(py).into_any())))
    }
}

/// Does work on a thread of the pool, or of the process's own, and looks for signals meanwhile.
fn beside(pool: Option<&ThreadPool>, signals: &Signals, work: impl FnOnce() + Send) {
    fn wait<'scope>(scope: &Scope<'scope>, signals: &Signals, work: impl FnOnce() + Send + 'scope) {
        let (sender, receiver) = channel::<()>();
        scope.spawn(move |_| {
            work();
            drop(sender);
        });
        while receiver.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            signals.look();
        }
    }
    match pool {
        Some(pool) => pool.in_place_scope(|scope| wait(scope, signals, work)),
        None => rayon::in_place_scope(|scope| wait(scope, signals, work)),
    }
}

fn simulation(
    simulator: &Arc<core::simulator::Simulator>,
    space: &core::DesignSpace,
    columns: &[String],
    limits: &[(String, f64)],
) -> PyResult<Simulation<Arc<core::simulator::Simulator>>> {
    if simulator.space() != space {
        return Err(configuration("the simulator and the search have different design spaces".into()));
    }
    Simulation::new(Arc::clone(simulator), columns, limits).map_err(raise)
}

fn record<'py>(py: Python<'py>, record: &Record) -> Columns<'py> {
    (record.indices.to_pyarray(py), record.scores.to_pyarray(py), record.violations.to_pyarray(py))
}

fn fields<'py>(
    py: Python<'py>,
    space: &core::DesignSpace,
    outcome: &Outcome,
    columns: usize,
    stopped_by: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let ranks: Vec<u16> = outcome.best.iter().flat_map(|scored| scored.ranks.iter().copied()).collect();
    let column = |value: fn(&search::Scored) -> f64| outcome.best.iter().map(value).collect::<Vec<_>>();
    let found: Vec<u16> = outcome.found.iter().flat_map(|found| found.ranks.iter().copied()).collect();
    let found_scores: Vec<f64> =
        outcome.found.iter().flat_map(|found| found.scores.iter().copied()).collect();
    let history: Vec<(usize, f64)> =
        outcome.history.iter().map(|step| (step.evaluations, step.score)).collect();
    let fields = PyDict::new(py);
    fields.set_item("designs", matrix(py, space, &ranks)?)?;
    fields.set_item("scores", column(|scored| scored.score).to_pyarray(py))?;
    fields.set_item("violations", column(|scored| scored.violation).to_pyarray(py))?;
    fields.set_item("found", matrix(py, space, &found)?)?;
    let shape = [outcome.found.len(), columns];
    fields.set_item("found_scores", found_scores.to_pyarray(py).reshape(shape)?)?;
    fields.set_item("evaluations", outcome.evaluations)?;
    fields.set_item("history", history)?;
    fields.set_item("stopped_by", stopped_by)?;
    fields.set_item("note", outcome.note.as_deref())?;
    fields.set_item("seconds", outcome.seconds)?;
    fields.set_item("scoring_seconds", outcome.scoring_seconds)?;
    Ok(fields)
}

/// The volume that points dominate within a reference point.
#[pyfunction]
pub fn hypervolume(points: PyReadonlyArray1<'_, f64>, reference: PyReadonlyArray1<'_, f64>) -> PyResult<f64> {
    let (points, reference) = (points.as_array().to_vec(), reference.as_array().to_vec());
    search::hypervolume(&points, reference.len(), &reference).map_err(raise)
}
