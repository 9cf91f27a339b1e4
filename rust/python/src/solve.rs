//! The exact search.

use std::sync::atomic::{AtomicBool, Ordering};

use prime_fast_core as core;
use prime_fast_core::search::{Goal, Mean, Problem, SolveOptions, SolveProgress, SolveStop};
use prime_fast_core::simulator::Output;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arrays::matrix;
use crate::error::{configuration, raise};
use crate::simulator::{Simulator, install, pool};

fn goal(name: &str) -> PyResult<Goal> {
    match name {
        "latency" => Ok(Goal::Latency),
        "energy" => Ok(Goal::Energy),
        "energy_delay" => Ok(Goal::EnergyDelay),
        _ => Err(configuration(format!("unknown objective `{name}`; known: latency, energy, energy_delay"))),
    }
}

fn mean_of(name: &str) -> PyResult<Mean> {
    match name {
        "geometric" => Ok(Mean::Geometric),
        "arithmetic" => Ok(Mean::Arithmetic),
        _ => Err(configuration(format!("unknown mean `{name}`; known: geometric, arithmetic"))),
    }
}

/// Finds the design of least objective, with proof; see `prime_fast.solve`.
#[pyfunction]
#[pyo3(signature = (simulators, *, weights, objective, mean, limits, seconds, nodes, threads, callback))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the Python function")]
pub fn solve<'py>(
    py: Python<'py>,
    simulators: Vec<Bound<'py, Simulator>>,
    weights: Vec<f64>,
    objective: &str,
    mean: &str,
    limits: Vec<(String, f64)>,
    seconds: Option<f64>,
    nodes: Option<u64>,
    threads: Option<usize>,
    callback: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let inner = simulators.iter().map(|simulator| (*simulator.get().inner).clone()).collect();
    let problem = Problem::new(inner, &weights, goal(objective)?, mean_of(mean)?, &limits).map_err(raise)?;
    let (pool, stop) = (pool(threads)?, AtomicBool::new(false));
    // The first exception that a callback or a signal raised between rounds.
    let mut raised: Option<PyErr> = None;
    let mut progress = |progress: SolveProgress| {
        let called = Python::attach(|py| {
            py.check_signals()?;
            if let Some(callback) = &callback {
                callback.call1(py, (progress.nodes, progress.best, progress.bound, progress.seconds))?;
            }
            Ok(())
        });
        if let Err(error) = called {
            stop.store(true, Ordering::Relaxed);
            raised.get_or_insert(error);
        }
    };
    let options = SolveOptions { seconds, nodes, ..SolveOptions::default() };
    let outcome = py
        .detach(|| install(pool.as_ref(), || core::search::solve(&problem, &options, &stop, &mut progress)));
    let solution = match (outcome, raised) {
        (_, Some(error)) if !error.is_instance_of::<PyKeyboardInterrupt>(py) => return Err(error),
        // Interrupted before anything was found.
        (Err(_), Some(error)) => return Err(error),
        (outcome, _) => outcome.map_err(raise)?,
    };
    let space = problem.space();
    let mut ties = vec![0; solution.ties.len() * space.dimensions()];
    for (row, &index) in ties.chunks_exact_mut(space.dimensions()).zip(&solution.ties) {
        space.ranks_of(index, row);
    }
    let outputs =
        |score: &core::simulator::Score| Output::ALL.map(|output| (output.name(), output.of(score)));
    let fields = PyDict::new(py);
    fields.set_item("designs", matrix(py, space, &ties)?)?;
    fields.set_item("tie_count", solution.tie_count)?;
    fields.set_item("score", solution.score)?;
    fields.set_item("bound", solution.bound)?;
    fields.set_item("gap", solution.gap())?;
    fields.set_item("outputs", solution.scores.iter().map(outputs).collect::<Vec<_>>())?;
    fields.set_item("nodes", solution.nodes)?;
    fields.set_item(
        "stopped_by",
        match solution.stop {
            SolveStop::Proved => "proof",
            SolveStop::Nodes => "nodes",
            SolveStop::Seconds => "seconds",
            SolveStop::Interrupted => "interrupt",
        },
    )?;
    fields.set_item("seconds", solution.seconds)?;
    Ok(fields)
}
