//! The nodes of an exact search, and the search of one problem.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicBool};
use std::time::Instant;

use rayon::prelude::*;

use super::problem::{Problem, Quantity, bound_of};
use super::{SolveProgress, SolveStop, TIE};
use crate::search::{Domain, Genetic, GeneticOptions, Interrupt, LimitedSpace, Options, Progress, minimize};
use crate::simulator::{Bounds, OnChip, Wanted};
use crate::space::{Conditions, Region};
use crate::{Error, Result};

/// Share by which a bound must exceed a limit before it proves anything: sums round differently in another order.
const SLACK: f64 = 1e-12;
/// Nodes that are searched side by side in one round.
const TASKS: usize = 32;
/// Layers that one task bounds in a round, over nodes and applications: some milliseconds.
const LAYERS_PER_TASK: usize = 20_000;
/// Designs that the search for a first good design scores.
const SCOUTED: usize = 2048;

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
pub(super) struct Search<'a> {
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
    pub(super) fn new(
        problem: &'a Problem,
        ties: bool,
        stop: &'a AtomicBool,
        deadline: Option<Instant>,
    ) -> Self {
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
        let mut genetic = Genetic::new(&domain, GeneticOptions::default())?;
        let width = problem.space().dimensions();
        let mut score = |ranks: &[u16], _: usize, scores: &mut [f64], violations: &mut [f64]| {
            let all =
                ranks.par_chunks(width).map(|ranks| Ok(problem.value(ranks, &problem.simulate(ranks)?)));
            for (row, value) in all.collect::<Result<Vec<_>>>()?.into_iter().enumerate() {
                (scores[row], violations[row]) = value.map_or((0.0, 1.0), |value| (value, 0.0));
            }
            Ok::<(), Error>(())
        };
        let options = Options { evaluations: SCOUTED, batch: 128, keep: 1, ..Options::default() };
        let halt = Arc::new(AtomicBool::new(false));
        let interrupt = Interrupt::new({
            let halt = Arc::clone(&halt);
            move || halt.load(atomic::Ordering::Relaxed)
        });
        let mut each = |so_far: Progress| {
            progress(so_far.best);
            halt.store(self.stopped().is_some(), atomic::Ordering::Relaxed);
        };
        match minimize(&domain, &mut genetic, &mut score, &options, &interrupt, &mut each) {
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
    pub(super) fn run(&self, nodes: Option<u64>, progress: &mut dyn FnMut(SolveProgress)) -> Result<Found> {
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

pub(super) struct Found {
    pub(super) designs: Vec<(f64, u64)>,
    pub(super) bound: f64,
    pub(super) nodes: u64,
    pub(super) stop: SolveStop,
}
