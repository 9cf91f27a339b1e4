//! One thread's work: the designs of one combination of the parameters that decide what happens on chip.

use std::rc::Rc;

use super::Measure;
use super::front::{MAX_MEASURES, Point};
use super::histogram::Histogram;
use super::tally::Tally;
use crate::simulator::{Bandwidths, Check, Factored, Output, Results, Simulator, Storage};
use crate::space::DesignSpace;
use crate::space::expression::grid::{Grid, MAX_CELLS};

/// What to do, and how the space is divided up.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    simulator: &'a Simulator,
    limits: Vec<(usize, f64)>,
    objective: usize,
    front: Vec<usize>,
    pub histograms: Vec<usize>,
    /// All that is measured, each once; the others are positions in here.
    measures: Vec<Measure>,
    /// Parameters that decide what happens on chip, those of the grid, and what is left.
    on_chip: Vec<usize>,
    grid: Vec<usize>,
    rest: Vec<usize>,
    /// Combinations of the first and of the last.
    on_chip_count: u64,
    rest_count: u64,
    /// Combinations of the grid.
    cells: usize,
}

/// One measure of the designs of the grid: `values[positions[cell]]`.
#[derive(Debug)]
struct View {
    positions: Rc<[u16]>,
    values: Vec<f64>,
    least: f64,
}

/// A thread with its buffers.
#[derive(Debug)]
pub(super) struct Worker<'a> {
    plan: &'a Plan<'a>,
    factored: Factored<'a>,
    grid: Grid<'a>,
    ranks: Vec<u16>,
    /// What the index of each design of the grid adds to that of the first.
    offsets: Vec<u64>,
    first_index: u64,
    /// All of the grid; and the designs of it that nothing has ruled out yet.
    all: Vec<u16>,
    alive: Vec<u16>,
    rest: Option<u64>,
    storages: Vec<Storage>,
    bandwidths: Bandwidths,
    /// Position of each design's results: storage times pairs of bandwidths plus pair.
    positions: Rc<[u16]>,
    results: Results,
    latency_us: Vec<f64>,
    energy_uj: Vec<f64>,
    views: Vec<View>,
    bins: Vec<u16>,
    flags: Vec<bool>,
}

fn count(space: &DesignSpace, parameters: &[usize]) -> u64 {
    parameters.iter().map(|&one| space.cardinalities()[one] as u64).product()
}

impl<'a> Plan<'a> {
    pub(super) fn new(
        simulator: &'a Simulator,
        objective: Measure,
        limits: Vec<(Measure, f64)>,
        front: Vec<Measure>,
        histograms: Vec<Measure>,
    ) -> Self {
        let space = simulator.space();
        let mut measures = Vec::new();
        let mut place = |measure: Measure| {
            measures.iter().position(|&known| known == measure).unwrap_or_else(|| {
                measures.push(measure);
                measures.len() - 1
            })
        };
        let limits = limits.into_iter().map(|(measure, limit)| (place(measure), limit)).collect();
        let objective = place(objective);
        let front = front.into_iter().map(&mut place).collect();
        let histograms = histograms.into_iter().map(&mut place).collect();

        let on_chip = simulator.on_chip_parameters().to_vec();
        let others = simulator.parameters().into_iter().chain(0..space.dimensions());
        let (mut grid, mut rest, mut cells) = (Vec::new(), Vec::new(), 1);
        for parameter in others {
            if [&on_chip, &grid, &rest].iter().any(|known| known.contains(&parameter)) {
                continue;
            }
            let cardinality = space.cardinalities()[parameter];
            if cells * cardinality <= MAX_CELLS {
                cells *= cardinality;
                grid.push(parameter);
            } else {
                rest.push(parameter);
            }
        }
        let (on_chip_count, rest_count) = (count(space, &on_chip), count(space, &rest));
        Self {
            simulator,
            limits,
            objective,
            front,
            histograms,
            measures,
            on_chip,
            grid,
            rest,
            on_chip_count,
            rest_count,
            cells,
        }
    }

    /// Number of pieces of work.
    pub(super) fn pieces(&self) -> u64 {
        self.on_chip_count * self.rest_count
    }

    fn wants(&self, outputs: &[Measure]) -> bool {
        outputs.iter().any(|output| self.measures.contains(output))
    }
}

/// Keeps the designs for which `flags` holds; returns how many it dropped.
fn filter(alive: &mut Vec<u16>, positions: &[u16], flags: &[bool]) -> u64 {
    let before = alive.len();
    if flags.iter().all(|&flag| flag) {
        return 0;
    }
    let mut kept = 0;
    for at in 0..before {
        let design = alive[at];
        alive[kept] = design;
        kept += usize::from(flags[usize::from(positions[usize::from(design)])]);
    }
    alive.truncate(kept);
    (before - kept) as u64
}

impl View {
    fn get(&self, design: u16) -> f64 {
        self.values[usize::from(self.positions[usize::from(design)])]
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a Plan<'a>) -> Self {
        let (simulator, space) = (plan.simulator, plan.simulator.space());
        let grid = Grid::new(space, plan.grid.clone());
        let mut offsets = Vec::with_capacity(plan.cells);
        grid.each(grid.all(), |ranks| offsets.push(space.index_of(ranks)));
        let view = || View { positions: Rc::default(), values: vec![], least: f64::NAN };
        Self {
            plan,
            factored: Factored::new(simulator),
            grid,
            ranks: vec![0; space.dimensions()],
            offsets,
            first_index: 0,
            all: (0..plan.cells).map(|cell| cell as u16).collect(),
            alive: Vec::with_capacity(plan.cells),
            rest: None,
            storages: vec![],
            bandwidths: Bandwidths::new(simulator),
            positions: Rc::default(),
            results: Results::default(),
            latency_us: vec![],
            energy_uj: vec![],
            views: plan.measures.iter().map(|_| view()).collect(),
            bins: vec![],
            flags: vec![],
        }
    }

    fn set_ranks(&mut self, parameters: &[usize], mut combination: u64) {
        let space = self.plan.simulator.space();
        for &parameter in parameters.iter().rev() {
            let cardinality = space.cardinalities()[parameter] as u64;
            self.ranks[parameter] = (combination % cardinality) as u16;
            combination /= cardinality;
        }
    }

    /// Sorts out which designs of the grid share storage and bandwidths.
    fn group(&mut self) {
        let simulator = self.plan.simulator;
        self.bandwidths = Bandwidths::new(simulator);
        self.storages.clear();
        let mut places = Vec::with_capacity(self.plan.cells);
        let (storages, bandwidths) = (&mut self.storages, &mut self.bandwidths);
        self.grid.each(self.grid.all(), |ranks| {
            let storage = simulator.storage(ranks);
            let known = storages.iter().rposition(|&known| known == storage);
            let storage = known.unwrap_or_else(|| {
                storages.push(storage);
                storages.len() - 1
            });
            places.push((storage, bandwidths.position(simulator, ranks)));
        });
        let pairs = self.bandwidths.len();
        self.positions = places.into_iter().map(|(storage, pair)| (storage * pairs + pair) as u16).collect();
    }

    /// Counts all designs of one piece of work.
    pub(super) fn take(&mut self, piece: u64, tally: &mut Tally) {
        let plan = self.plan;
        let rest = piece / plan.on_chip_count;
        self.set_ranks(&plan.on_chip, piece % plan.on_chip_count);
        self.set_ranks(&plan.rest, rest);
        self.grid.fix(&self.ranks);
        if self.rest != Some(rest) {
            self.rest = Some(rest);
            self.group();
        }
        self.first_index = plan.simulator.space().index_of(&self.ranks);
        self.factored.choose(&self.ranks);
        tally.designs += plan.cells as u64;
        self.alive.clone_from(&self.all);
        if !self.check(tally) || !self.limit_metrics() {
            return;
        }
        self.simulate();
        if !self.limit_outputs() {
            return;
        }
        tally.within_limits += self.alive.len() as u64;
        self.count(tally);
        self.keep_best(tally);
        self.keep_front(tally);
    }

    /// Drops what fails a check; false where nothing is left.
    fn check(&mut self, tally: &mut Tally) -> bool {
        let simulator = self.plan.simulator;
        for constraint in 0..simulator.space().constraints().len() {
            let column = self.grid.constraint(constraint);
            let positions = self.grid.positions(self.grid.all(), column.mask);
            tally.rejected[constraint] += filter(&mut self.alive, &positions, &column.values);
            if self.alive.is_empty() {
                return false;
            }
        }
        let mut reject = |check: Check, designs: u64| tally.rejected[simulator.reason(check)] += designs;
        self.flags.clear();
        for &storage in &self.storages {
            let fits = self.factored.fits(storage);
            self.flags.extend(std::iter::repeat_n(fits, self.bandwidths.len()));
        }
        reject(Check::PeMemory, filter(&mut self.alive, &self.positions, &self.flags));
        if !self.factored.tiles_fit() {
            reject(Check::CoreMemory, self.alive.len() as u64);
            return false;
        }
        if self.alive.is_empty() {
            return false;
        }
        let program = self.factored.compile();
        let mask = self.grid.mask_of(&[simulator.instruction_parameter()]);
        let mut fits = Vec::new();
        self.grid.each(mask, |ranks| fits.push(program <= simulator.instruction_entries(ranks)));
        let positions = self.grid.positions(self.grid.all(), mask);
        reject(Check::InstructionMemory, filter(&mut self.alive, &positions, &fits));
        !self.alive.is_empty()
    }

    /// Looks up the metrics of the space that are measured and drops what exceeds a limit on one; false where
    /// nothing is left.
    fn limit_metrics(&mut self) -> bool {
        let plan = self.plan;
        for (place, &measure) in plan.measures.iter().enumerate() {
            let Measure::Metric(metric) = measure else { continue };
            let column = self.grid.metric(metric);
            let positions = self.grid.positions(self.grid.all(), column.mask);
            self.set(place, positions, |values| values.extend(&column.values));
        }
        self.limit(|measure| matches!(measure, Measure::Metric(_)))
    }

    fn set(&mut self, place: usize, positions: Rc<[u16]>, fill: impl FnOnce(&mut Vec<f64>)) {
        let view = &mut self.views[place];
        view.positions = positions;
        view.values.clear();
        fill(&mut view.values);
        // Passes over NaN.
        view.least = view.values.iter().copied().fold(f64::INFINITY, f64::min);
    }

    fn limit(&mut self, of: impl Fn(Measure) -> bool) -> bool {
        for &(place, limit) in &self.plan.limits {
            if of(self.plan.measures[place]) {
                let view = &self.views[place];
                self.flags.clear();
                self.flags.extend(view.values.iter().map(|&value| value <= limit));
                filter(&mut self.alive, &view.positions, &self.flags);
            }
        }
        !self.alive.is_empty()
    }

    /// Works out the results of the simulator that are measured.
    fn simulate(&mut self) {
        let plan = self.plan;
        let energy = plan.wants(&[
            Measure::Output(Output::Energy),
            Measure::Output(Output::AveragePower),
            Measure::EnergyDelay,
        ]);
        self.latency_us.clear();
        self.energy_uj.clear();
        for &storage in &self.storages {
            if self.factored.fits(storage) {
                self.factored.evaluate(storage, &self.bandwidths, energy, &mut self.results);
                self.latency_us.extend(&self.results.latency_us);
                self.energy_uj.extend(&self.results.energy_uj);
            } else {
                let none = std::iter::repeat_n(f64::NAN, self.bandwidths.len());
                self.latency_us.extend(none.clone());
                self.energy_uj.extend(none);
            }
        }
        for (place, &measure) in plan.measures.iter().enumerate() {
            let Measure::Output(output) = measure else {
                if measure == Measure::EnergyDelay {
                    self.combine(place, |latency_us, energy_uj| energy_uj * latency_us);
                }
                continue;
            };
            match output {
                Output::Latency => self.combine(place, |latency_us, _| latency_us),
                Output::Energy => self.combine(place, |_, energy_uj| energy_uj),
                Output::AveragePower => {
                    self.combine(place, |latency_us, energy_uj| energy_uj / latency_us * 1e3);
                }
                Output::PeakPower => {
                    let mask = self.grid.mask_of(&plan.simulator.power_parameters());
                    let mut powers = Vec::new();
                    self.grid.each(mask, |ranks| powers.push(plan.simulator.peak_power_mw(ranks)));
                    let positions = self.grid.positions(self.grid.all(), mask);
                    self.set(place, positions, |values| *values = powers);
                }
            }
        }
    }

    fn combine(&mut self, place: usize, f: impl Fn(f64, f64) -> f64) {
        let (latency_us, energy_uj) =
            (std::mem::take(&mut self.latency_us), std::mem::take(&mut self.energy_uj));
        let energies = energy_uj.iter().copied().chain(std::iter::repeat(f64::NAN));
        let pairs = latency_us.iter().copied().zip(energies);
        self.set(place, Rc::clone(&self.positions), |values| values.extend(pairs.map(|(x, y)| f(x, y))));
        (self.latency_us, self.energy_uj) = (latency_us, energy_uj);
    }

    fn limit_outputs(&mut self) -> bool {
        self.limit(|measure| !matches!(measure, Measure::Metric(_)))
    }

    fn count(&mut self, tally: &mut Tally) {
        for (histogram, &place) in tally.histograms.iter_mut().zip(&self.plan.histograms) {
            let view = &self.views[place];
            self.bins.clear();
            self.bins.extend(view.values.iter().map(|&value| Histogram::bin(value)));
            for &design in &self.alive {
                histogram.count(self.bins[usize::from(view.positions[usize::from(design)])]);
            }
        }
    }

    fn index(&self, design: u16) -> u64 {
        self.first_index.wrapping_add(self.offsets[usize::from(design)])
    }

    fn keep_best(&self, tally: &mut Tally) {
        let view = &self.views[self.plan.objective];
        if view.least > tally.best.accepted() {
            return;
        }
        for &design in &self.alive {
            let objective = view.get(design);
            if objective <= tally.best.accepted() {
                tally.best.insert(objective, self.index(design));
            }
        }
    }

    fn keep_front(&self, tally: &mut Tally) {
        let measures = &self.plan.front;
        if measures.is_empty() {
            return;
        }
        let mut values = [0.0; MAX_MEASURES];
        for (value, &measure) in values.iter_mut().zip(measures) {
            *value = self.views[measure].least;
        }
        if tally.front.beats_all(&values) {
            return;
        }
        for &design in &self.alive {
            for (value, &measure) in values.iter_mut().zip(measures) {
                *value = self.views[measure].get(design);
            }
            if values.iter().all(|value| !value.is_nan()) {
                tally.front.insert(Point { values, index: self.index(design) });
            }
        }
    }
}
