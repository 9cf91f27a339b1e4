//! The best design of a space with proof, by branch and bound.
//!
//! A node is a box of designs, [`Region`]. Its constraints and limits take ranks off its ends, a lower bound of the
//! objective (documentation of `simulator::bound`) is worked out for what is left, and it is dropped where the bound
//! is above the best design found, else split in two. Nodes are taken in rounds: the most promising ones are each
//! searched in depth for a fixed number of nodes, in parallel, against the best design known when the round began;
//! what they leave goes back to the others. So nothing depends on the number of threads, the count of nodes
//! included. Only a limit on time can end a run elsewhere the next time.
//!
//! Designs within a relative [`TIE`] of the least objective tie; nodes are dropped above that only, so that every
//! one of them is found.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::atomic::{self, AtomicBool};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::{Domain, Genetic, GeneticOptions, LimitedSpace, Options, Progress, improper_limit, minimize};
use crate::simulator::{Bounds, OnChip, Output, Score, Simulator, Wanted};
use crate::space::{Conditions, DesignSpace, Region};
use crate::{Error, Result};

/// Designs whose objectives differ by no more than this share tie.
pub const TIE: f64 = 1e-9;
/// Share by which a bound must exceed a limit before it proves anything: sums round differently in another order.
const SLACK: f64 = 1e-12;
/// Nodes that are searched side by side in one round.
const TASKS: usize = 32;
/// Layers that one task bounds in a round, over nodes and applications: some milliseconds.
const LAYERS_PER_TASK: usize = 20_000;
/// Designs that the search for a first good design scores.
const SCOUTED: usize = 2048;

/// What to minimise for each application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Latency in us.
    Latency,
    /// Energy in uJ.
    Energy,
    /// Energy times latency, in uJ us.
    EnergyDelay,
}

/// How the objectives of several applications become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mean {
    /// Product of powers.
    Geometric,
    /// Weighted sum.
    Arithmetic,
}

/// What a limit is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// A metric of the space, by position.
    Metric(usize),
    /// A result of each application.
    Output(Output),
}

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objective {
    Mean(Goal, Mean),
    /// The quantity by itself; of several applications, the greatest.
    Quantity(Quantity),
}

/// Applications, what to minimise over them, and within which limits.
#[derive(Debug, Clone)]
pub struct Problem {
    simulators: Vec<Simulator>,
    /// Shares of the applications, which add up to 1.
    shares: Vec<f64>,
    objective: Objective,
    names: Vec<String>,
    limits: Vec<(Quantity, f64)>,
}

/// Limits of a run of [`solve`].
#[derive(Debug, Clone, Copy)]
pub struct SolveOptions {
    /// Time to take at most.
    pub seconds: Option<f64>,
    /// Nodes to bound before the run ends; those of the last round may pass it by some tens.
    pub nodes: Option<u64>,
    /// Designs that tie to list at most, those of least index; all are counted.
    pub ties: usize,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self { seconds: None, nodes: None, ties: 10_000 }
    }
}

/// Where a run stands after a round.
#[derive(Debug, Clone, Copy)]
pub struct SolveProgress {
    /// Nodes bounded so far.
    pub nodes: u64,
    /// Objective of the best design so far.
    pub best: Option<f64>,
    /// No design has a lower objective than this.
    pub bound: f64,
    /// Time since the start.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SolveStop {
    /// No better design is left: the result is the optimum.
    Proved,
    /// As many nodes were bounded as the options allow.
    Nodes,
    /// The time that the options allow has passed.
    Seconds,
    /// The stop flag was set.
    Interrupted,
}

/// The best design, and what is known of all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Of the designs that tie for the least objective, that of the least index; ranks.
    pub design: Vec<u16>,
    /// Its objective.
    pub score: f64,
    /// Its simulation for each application.
    pub scores: Vec<Score>,
    /// No design has a lower objective than this; `score` itself (or less by a tie) where proved.
    pub bound: f64,
    /// Indices of the designs that tie, in order, as many as the options list; all that there are where proved.
    pub ties: Vec<u64>,
    /// How many designs tie; at least, unless proved.
    pub tie_count: usize,
    /// Boxes of designs, single ones among them, whose objective was bounded or worked out.
    pub nodes: u64,
    /// Why the run ended.
    pub stop: SolveStop,
    /// Time of the whole run.
    pub seconds: f64,
}

impl Solution {
    /// Share by which the objective could still be lower: 0 where proved.
    #[must_use]
    pub fn gap(&self) -> f64 {
        if self.stop == SolveStop::Proved || self.score <= self.bound {
            return 0.0;
        }
        1.0 - self.bound / self.score
    }
}

fn bound_of(output: Output, bounds: &Bounds) -> f64 {
    match output {
        Output::Latency => bounds.latency_us,
        Output::Energy => bounds.energy_uj,
        Output::AveragePower => bounds.average_power_mw,
        Output::PeakPower => bounds.peak_power_mw,
    }
}

impl Goal {
    fn value(self, latency_us: f64, energy_uj: f64) -> f64 {
        match self {
            Self::Latency => latency_us,
            Self::Energy => energy_uj,
            Self::EnergyDelay => energy_uj * latency_us,
        }
    }
}

impl Problem {
    /// Simulators of one space, a positive weight each, and upper limits by the name of a metric of the space or
    /// of a result of the simulator (latency, energy, average and peak power, which each application must keep).
    pub fn new(
        simulators: Vec<Simulator>,
        weights: &[f64],
        goal: Goal,
        mean: Mean,
        limits: &[(String, f64)],
    ) -> Result<Self> {
        let Some(first) = simulators.first() else {
            return Err(Error::Configuration("no application is given; at least one is needed".into()));
        };
        if simulators.iter().any(|other| other.space() != first.space()) {
            return Err(Error::Configuration("the simulators have different design spaces".into()));
        }
        if weights.len() != simulators.len() {
            return Err(Error::Configuration(format!(
                "as many weights as applications are needed, found {} and {}",
                weights.len(),
                simulators.len()
            )));
        }
        if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return Err(Error::Configuration(format!(
                "a weight is {weight}; weights must be positive, finite numbers"
            )));
        }
        let total: f64 = weights.iter().sum();
        let quantities = limits.iter().map(|(name, limit)| {
            if !(limit.is_finite() && *limit > 0.0) {
                return Err(improper_limit(name, *limit));
            }
            Ok((quantity(first.space(), name)?, *limit))
        });
        let limits_found = quantities.collect::<Result<Vec<_>>>()?;
        Ok(Self {
            shares: weights.iter().map(|weight| weight / total).collect(),
            simulators,
            objective: Objective::Mean(goal, mean),
            names: limits.iter().map(|(name, _)| name.clone()).collect(),
            limits: limits_found,
        })
    }

    /// The design space of all simulators.
    #[must_use]
    pub fn space(&self) -> &DesignSpace {
        self.simulators[0].space()
    }

    fn wanted(&self) -> Wanted {
        let quantities = self.limits.iter().map(|&(quantity, _)| quantity);
        let objective = match self.objective {
            Objective::Quantity(quantity) => Some(quantity),
            Objective::Mean(..) => None,
        };
        let all: Vec<Quantity> = quantities.chain(objective).collect();
        let average_power = all.contains(&Quantity::Output(Output::AveragePower));
        let energy = average_power
            || all.contains(&Quantity::Output(Output::Energy))
            || matches!(self.objective, Objective::Mean(Goal::Energy | Goal::EnergyDelay, _));
        Wanted { energy, average_power }
    }

    /// Limits on metrics of the space.
    fn metrics(&self) -> Vec<(usize, f64)> {
        let metric = |&(quantity, limit): &(Quantity, f64)| match quantity {
            Quantity::Metric(metric) => Some((metric, limit)),
            Quantity::Output(_) => None,
        };
        self.limits.iter().filter_map(metric).collect()
    }

    fn mean(&self, mean: Mean, mut value: impl FnMut(usize) -> f64) -> f64 {
        if self.simulators.len() == 1 {
            return value(0);
        }
        let shares = self.shares.iter().enumerate();
        match mean {
            Mean::Arithmetic => shares.map(|(one, share)| share * value(one)).sum(),
            Mean::Geometric => shares.map(|(one, share)| share * value(one).ln()).sum::<f64>().exp(),
        }
    }

    /// The objective, by the results of each application and a metric of the space.
    fn objective(
        &self,
        goal: impl Fn(usize, Goal) -> f64,
        output: impl Fn(usize, Output) -> f64,
        metric: impl Fn(usize) -> f64,
    ) -> f64 {
        match self.objective {
            Objective::Mean(what, mean) => self.mean(mean, |one| goal(one, what)),
            Objective::Quantity(Quantity::Metric(position)) => metric(position),
            Objective::Quantity(Quantity::Output(what)) => {
                (0..self.simulators.len()).map(|one| output(one, what)).fold(0.0, f64::max)
            }
        }
    }

    /// Objective of a design of which `scores` are the results; nothing where it fails a check or a limit.
    fn value(&self, ranks: &[u16], scores: &[Score]) -> Option<f64> {
        let fits = |score: &Score| {
            score.rejection.is_none()
                && self.limits.iter().all(|&(quantity, limit)| match quantity {
                    Quantity::Output(output) => output.of(score) <= limit,
                    Quantity::Metric(_) => true,
                })
        };
        let within = |&(metric, limit): &(usize, f64)| self.space().metric(metric, ranks) <= limit;
        if !scores.iter().all(fits) || !self.metrics().iter().all(within) {
            return None;
        }
        let value = self.objective(
            |one, goal| goal.value(scores[one].latency_us, scores[one].energy_uj),
            |one, output| output.of(&scores[one]),
            |metric| self.space().metric(metric, ranks),
        );
        // A metric of the space may be anything.
        (!value.is_nan()).then_some(value)
    }

    fn simulate(&self, ranks: &[u16]) -> Result<Vec<Score>> {
        self.simulators.iter().map(|simulator| simulator.score_one(ranks)).collect()
    }
}

fn quantity(space: &DesignSpace, name: &str) -> Result<Quantity> {
    let metrics = space.metrics().iter().map(|metric| metric.name.as_str());
    if let Some(metric) = metrics.clone().position(|known| known == name) {
        return Ok(Quantity::Metric(metric));
    }
    if let Some(output) = Output::named(name) {
        return Ok(Quantity::Output(output));
    }
    let known: Vec<&str> = metrics.chain(Output::ALL.map(Output::name)).collect();
    Err(Error::Configuration(format!(
        "unknown limit `{name}`{}; known: {}",
        crate::suggest::did_you_mean(name, known.iter().copied()),
        known.join(", ")
    )))
}

/// A box that is still to be searched.
#[derive(Debug)]
struct Node {
    region: Region,
    bound: f64,
    /// Position among all nodes that were set aside, for an order of those of equal bound.
    order: u64,
}

impl Node {
    fn key(&self, other: &Self) -> Ordering {
        // The heap gives its greatest.
        other.bound.total_cmp(&self.bound).then(other.order.cmp(&self.order))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.key(other) == Ordering::Equal
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key(other)
    }
}

/// A box within a task, with what happens on chip where that is known from the box it was cut from.
struct Open {
    region: Region,
    bound: f64,
    on_chip: Option<Rc<[OnChip]>>,
}

/// What a task comes back with.
struct Searched {
    open: Vec<(Region, f64)>,
    /// Objectives and indices of designs.
    found: Vec<(f64, u64)>,
    nodes: u64,
}

/// The search of one problem.
struct Search<'a> {
    problem: &'a Problem,
    conditions: Conditions,
    wanted: Wanted,
    /// Parameters in the order in which they are split where none has a wider range.
    on_chip: Vec<usize>,
    /// Whether every design that ties is wanted.
    ties: bool,
    stop: &'a AtomicBool,
    deadline: Option<Instant>,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem, ties: bool, stop: &'a AtomicBool, deadline: Option<Instant>) -> Self {
        Self {
            conditions: Conditions::new(problem.space(), &problem.metrics()),
            wanted: problem.wanted(),
            on_chip: problem.simulators[0].on_chip_parameters().to_vec(),
            problem,
            ties,
            stop,
            deadline,
        }
    }

    /// Objectives above this are of no interest once a design with objective `best` is known.
    fn threshold(&self, best: f64) -> f64 {
        if self.ties { best + best.abs() * TIE } else { best }
    }

    fn stopped(&self) -> Option<SolveStop> {
        if self.stop.load(atomic::Ordering::Relaxed) {
            Some(SolveStop::Interrupted)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(SolveStop::Seconds)
        } else {
            None
        }
    }

    /// Cuts a region down and bounds it; nothing where no design of it is of interest.
    fn bound(&self, mut region: Region, on_chip: Option<&Rc<[OnChip]>>, threshold: f64) -> Option<Open> {
        let problem = self.problem;
        let mut on_chip = on_chip.cloned();
        let mut program = 0.0;
        loop {
            let before = region.clone();
            if let Some(known) = &on_chip {
                program = known.iter().map(OnChip::program).fold(0.0, f64::max);
            }
            if !problem.simulators.iter().all(|simulator| simulator.shrink(&mut region, program))
                || !self.conditions.shrink(problem.space(), &mut region)
            {
                return None;
            }
            if region == before && on_chip.is_some() {
                break;
            }
            let same = |&parameter: &usize| {
                region.least[parameter] == before.least[parameter]
                    && region.most[parameter] == before.most[parameter]
            };
            if on_chip.is_none() || !self.on_chip.iter().all(same) {
                let all = problem.simulators.iter().map(|simulator| simulator.on_chip(&region, self.wanted));
                on_chip = Some(all.collect());
            }
        }
        let on_chip = on_chip?;
        let bounds: Vec<Bounds> = problem
            .simulators
            .iter()
            .zip(&*on_chip)
            .map(|(one, on_chip)| one.bounds(&region, on_chip))
            .collect();
        let too_much = |&(quantity, limit): &(Quantity, f64)| match quantity {
            Quantity::Output(output) => {
                bounds.iter().any(|bounds| bound_of(output, bounds) > limit * (1.0 + SLACK))
            }
            Quantity::Metric(_) => false,
        };
        if problem.limits.iter().any(too_much) {
            return None;
        }
        let bound = problem.objective(
            |one, goal| goal.value(bounds[one].latency_us, bounds[one].energy_uj),
            |one, output| bound_of(output, &bounds[one]),
            |metric| problem.space().metric_bounds(metric, &region).least,
        );
        // Where every tie counts, the threshold leaves room for rounding; else the best is proved to as much.
        let keep = if self.ties { bound <= threshold } else { bound < threshold };
        keep.then_some(Open { region, bound, on_chip: Some(on_chip) })
    }

    /// The parameter to split a region at.
    fn branch(&self, region: &Region) -> usize {
        let space = self.problem.space();
        let ratio = |parameter: usize| {
            let bounds = space.parameter_bounds(parameter, region);
            bounds.most / bounds.least
        };
        let mut best: Option<(f64, usize)> = None;
        for &parameter in &self.on_chip {
            if region.spread(parameter) > 0 {
                let ratio = ratio(parameter);
                if best.is_none_or(|(most, _)| ratio > most) {
                    best = Some((ratio, parameter));
                }
            }
        }
        if let Some((_, parameter)) = best {
            return parameter;
        }
        let widest = (0..space.dimensions()).max_by_key(|&p| (region.spread(p), std::cmp::Reverse(p)));
        widest.unwrap_or(0)
    }

    /// Searches a box in depth for that many nodes, better designs than `threshold` only.
    fn task(&self, root: &Node, budget: u64, best: f64) -> Result<Searched> {
        let mut best = best;
        let mut stack = vec![Open { region: root.region.clone(), bound: root.bound, on_chip: None }];
        let mut searched = Searched { open: vec![], found: vec![], nodes: 0 };
        while let Some(mut node) = stack.pop() {
            if searched.nodes >= budget || self.stopped().is_some() {
                searched.open.push((node.region, node.bound));
                continue;
            }
            if node.bound > self.threshold(best) {
                continue;
            }
            if node.on_chip.is_none() {
                searched.nodes += 1;
                match self.bound(node.region, None, self.threshold(best)) {
                    Some(open) => node = open,
                    None => continue,
                }
            }
            if node.region.is_design() {
                let ranks = &node.region.least;
                let value = self.problem.value(ranks, &self.problem.simulate(ranks)?);
                if let Some(value) = value.filter(|&value| value <= self.threshold(best)) {
                    best = best.min(value);
                    searched.found.push((value, self.problem.space().index_of(ranks)));
                }
                continue;
            }
            let parameter = self.branch(&node.region);
            let (least, most) = (node.region.least[parameter], node.region.most[parameter]);
            let middle = least + (most - least) / 2;
            let (mut low, mut high) = (node.region.clone(), node.region);
            low.most[parameter] = middle;
            high.least[parameter] = middle + 1;
            let on_chip = if self.on_chip.contains(&parameter) { None } else { node.on_chip };
            searched.nodes += 2;
            let low = self.bound(low, on_chip.as_ref(), self.threshold(best));
            let high = self.bound(high, on_chip.as_ref(), self.threshold(best));
            match (low, high) {
                (Some(low), Some(high)) if low.bound <= high.bound => stack.extend([high, low]),
                (low, high) => stack.extend(low.into_iter().chain(high)),
            }
        }
        Ok(searched)
    }

    /// A good design to start from, by a genetic algorithm; none where it finds none.
    fn scout(&self, progress: &mut dyn FnMut(Option<f64>)) -> Result<Vec<(f64, u64)>> {
        let problem = self.problem;
        let limits: Vec<(String, f64)> = problem
            .metrics()
            .iter()
            .map(|&(metric, limit)| (problem.space().metrics()[metric].name.clone(), limit))
            .collect();
        let domain = LimitedSpace::new(problem.space().clone(), &limits)?;
        let mut genetic = Genetic::new(&domain, GeneticOptions { population: 128, seed: 0 })?;
        let width = problem.space().dimensions();
        let mut score = |ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]| {
            let all =
                ranks.par_chunks(width).map(|ranks| Ok(problem.value(ranks, &problem.simulate(ranks)?)));
            for (row, value) in all.collect::<Result<Vec<_>>>()?.into_iter().enumerate() {
                (scores[row], violations[row]) = value.map_or((0.0, 1.0), |value| (value, 0.0));
            }
            Ok::<(), Error>(())
        };
        let options = Options { evaluations: SCOUTED, batch: 128, keep: 1, target: None };
        let halt = AtomicBool::new(false);
        let mut each = |so_far: Progress| {
            progress(so_far.best);
            halt.store(self.stopped().is_some(), atomic::Ordering::Relaxed);
        };
        match minimize(&domain, &mut genetic, &mut score, &options, &halt, &mut each) {
            Ok(outcome) => {
                let best = outcome.best.iter().filter(|best| best.violation == 0.0);
                Ok(best.map(|best| (best.score, domain.index_of(&best.ranks))).collect())
            }
            // It looks at a sample only: no proof.
            Err(Error::NoFeasibleDesign(_)) => Ok(vec![]),
            Err(error) => Err(error),
        }
    }

    /// Searches the whole space.
    fn run(&self, nodes: Option<u64>, progress: &mut dyn FnMut(SolveProgress)) -> Result<Found> {
        let start = Instant::now();
        let Some(root) = self.bound(Region::all(self.problem.space()), None, f64::INFINITY) else {
            return Ok(Found { designs: vec![], bound: f64::INFINITY, nodes: 1, stop: SolveStop::Proved });
        };
        let mut report = |nodes: u64, best: Option<f64>, bound: f64| {
            progress(SolveProgress { nodes, best, bound, seconds: start.elapsed().as_secs_f64() });
        };
        let mut designs = self.scout(&mut |best| report(1, best, root.bound))?;
        let mut best = designs.iter().map(|design| design.0).fold(f64::INFINITY, f64::min);
        let layers: usize = self.problem.simulators.iter().map(|one| one.application().layers().len()).sum();
        let budget = (LAYERS_PER_TASK / layers).clamp(1, 512) as u64;
        let (mut spent, mut order) = (1, 0);
        let mut heap = BinaryHeap::from([Node { region: root.region, bound: root.bound, order }]);
        let stop = loop {
            while heap.peek().is_some_and(|node| node.bound > self.threshold(best)) {
                heap.pop();
            }
            let bound = heap.peek().map_or(best, |node| node.bound.min(best));
            report(spent, best.is_finite().then_some(best), bound);
            if heap.is_empty() {
                break SolveStop::Proved;
            }
            if let Some(stop) = self.stopped() {
                break stop;
            }
            let left = nodes.map_or(u64::MAX, |nodes| nodes.saturating_sub(spent));
            if left == 0 {
                break SolveStop::Nodes;
            }
            let mut tasks = Vec::with_capacity(TASKS);
            while tasks.len() < TASKS && (tasks.len() as u64) < left {
                let Some(node) = heap.pop() else { break };
                tasks.push(node);
            }
            let budget = budget.min((left / tasks.len() as u64).max(1));
            let searched: Vec<Result<Searched>> =
                tasks.par_iter().map(|node| self.task(node, budget, best)).collect();
            for searched in searched {
                let searched = searched?;
                spent += searched.nodes;
                for (region, bound) in searched.open {
                    order += 1;
                    heap.push(Node { region, bound, order });
                }
                designs.extend(searched.found);
            }
            best = designs.iter().map(|design| design.0).fold(best, f64::min);
            let threshold = self.threshold(best);
            designs.retain(|design| design.0 <= threshold);
        };
        let bound = heap.into_iter().map(|node| node.bound).fold(best, f64::min);
        designs.sort_unstable_by_key(|design| design.1);
        designs.dedup_by_key(|design| design.1);
        Ok(Found { designs, bound, nodes: spent, stop })
    }
}

struct Found {
    designs: Vec<(f64, u64)>,
    bound: f64,
    nodes: u64,
    stop: SolveStop,
}

/// Finds the design of least objective and proves that there is none better, or comes as far as `options` allow.
///
/// `stop` is looked at between nodes, `progress` called between rounds of some tens of milliseconds. Errs where no
/// design meets the limits, with the limit to blame and the least that can be reached, and where none was found
/// before the run was stopped.
pub fn solve(
    problem: &Problem,
    options: &SolveOptions,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(SolveProgress),
) -> Result<Solution> {
    let start = Instant::now();
    let deadline = match options.seconds {
        Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
            return Err(Error::Configuration(format!("seconds is {seconds}; it must be above 0")));
        }
        Some(seconds) => Duration::try_from_secs_f64(seconds).ok().and_then(|time| start.checked_add(time)),
        None => None,
    };
    if options.nodes == Some(0) {
        return Err(Error::Configuration("nodes is 0; it must be at least 1".into()));
    }
    let Found { designs, bound, nodes, stop: reason } =
        Search::new(problem, true, stop, deadline).run(options.nodes, progress)?;
    let Some(&(score, index)) = designs.first() else {
        return Err(Error::NoFeasibleDesign(if reason == SolveStop::Proved {
            blame(problem, stop, deadline, progress)?
        } else {
            format!(
                "no feasible design was found among the first {nodes} nodes; whether there is one is not proved"
            )
        }));
    };
    let mut design = vec![0; problem.space().dimensions()];
    problem.space().ranks_of(index, &mut design);
    Ok(Solution {
        scores: problem.simulate(&design)?,
        design,
        score,
        bound,
        tie_count: designs.len(),
        ties: designs.iter().take(options.ties).map(|design| design.1).collect(),
        nodes,
        stop: reason,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Says why no design of the problem is feasible.
fn blame(
    problem: &Problem,
    stop: &AtomicBool,
    deadline: Option<Instant>,
    progress: &mut dyn FnMut(SolveProgress),
) -> Result<String> {
    /// The least of a quantity under some of the limits, and whether that was searched to the end.
    type Reach = (Option<f64>, bool);
    let mut reach = |quantity: Quantity, limits: Vec<(Quantity, f64)>| -> Result<Reach> {
        let names = vec![];
        let relaxed = Problem { objective: Objective::Quantity(quantity), limits, names, ..problem.clone() };
        let found = Search::new(&relaxed, false, stop, deadline).run(None, progress)?;
        let least = found.designs.iter().map(|design| design.0).min_by(f64::total_cmp);
        Ok((least, found.stop == SolveStop::Proved))
    };
    let names: Vec<&str> = problem.simulators.iter().map(|one| one.application().name.as_str()).collect();
    let runs = names.join(", ");
    let all: Vec<String> = problem
        .names
        .iter()
        .zip(&problem.limits)
        .map(|(name, (_, limit))| format!("{name} <= {limit}"))
        .collect();
    let (all, plain) =
        (all.join(", "), format!("no design of space `{}` can run {runs}", problem.space().name()));
    for (name, &(quantity, limit)) in problem.names.iter().zip(&problem.limits) {
        match reach(quantity, vec![])? {
            (None, true) => return Ok(format!("{plain}, even without limits")),
            (Some(least), true) if least > limit => {
                return Ok(format!(
                    "{plain} within {name} <= {limit}: the least {name} is {}",
                    figure(least)
                ));
            }
            _ => {}
        }
    }
    // Each limit can be kept by itself.
    for (position, (name, &(quantity, _))) in problem.names.iter().zip(&problem.limits).enumerate().rev() {
        let mut others = problem.limits.clone();
        others.remove(position);
        if let (Some(least), true) = reach(quantity, others)? {
            return Ok(format!(
                "{plain} within {all}: within the other limits, the least {name} is {}",
                figure(least)
            ));
        }
    }
    Ok(if all.is_empty() { plain } else { format!("{plain} within {all}") })
}

/// A figure with digits enough to set a limit by, rounded up.
fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let scale = 10_f64.powf(5.0 - value.abs().log10().floor());
    ((value * scale).ceil() / scale).to_string()
}
