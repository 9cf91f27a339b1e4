//! Metrics and constraints for all combinations of some parameters at once.
//!
//! The parameters of a space are split into *axes*, which run over all their values, and others, whose ranks
//! are given. Each part of an expression is worked out once for each combination of the axes that it depends
//! on, a [`Column`], by the operations that evaluate a single design in the same order: the numbers are the
//! same, bit for bit. A sum of terms over few axes each costs little more than one addition a combination.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{Arithmetic, Comparison, Condition, Function, Number, least, most};
use crate::space::DesignSpace;

/// Most combinations of the axes: positions fit in 16 bits.
pub const MAX_CELLS: usize = 1 << 14;

/// Values for the combinations of some axes, the last axis fastest; bit a of `mask` is set for axis a.
#[derive(Debug, Clone, PartialEq)]
pub struct Column<T> {
    /// The axes that the values depend on.
    pub mask: u64,
    /// One value a combination of these axes.
    pub values: Vec<T>,
}

/// Some parameters of a space with all their values, beside fixed ranks of the others.
#[derive(Debug)]
pub struct Grid<'a> {
    space: &'a DesignSpace,
    /// Parameters of the axes, in order.
    axes: Vec<usize>,
    /// Axis of each parameter that is one.
    axis_of: Vec<Option<usize>>,
    /// Ranks of the other parameters.
    ranks: Vec<u16>,
    metrics: Vec<Option<Rc<Column<f64>>>>,
    maps: FxHashMap<(u64, u64), Rc<[u16]>>,
}

impl<T: Copy> Column<T> {
    fn constant(value: T) -> Self {
        Self { mask: 0, values: vec![value] }
    }

    fn map<U>(&self, f: impl Fn(T) -> U) -> Column<U> {
        Column { mask: self.mask, values: self.values.iter().map(|&value| f(value)).collect() }
    }
}

impl<'a> Grid<'a> {
    /// A grid over the given parameters, whose combinations must be [`MAX_CELLS`] at most.
    #[must_use]
    pub fn new(space: &'a DesignSpace, mut axes: Vec<usize>) -> Self {
        axes.sort_unstable();
        let axis_of = (0..space.dimensions()).map(|one| axes.iter().position(|&axis| axis == one)).collect();
        let (ranks, metrics) = (vec![0; space.dimensions()], vec![None; space.metrics().len()]);
        Self { space, axes, axis_of, ranks, metrics, maps: FxHashMap::default() }
    }

    /// Fixes the parameters that are no axes at these ranks; those of the axes are ignored.
    pub fn fix(&mut self, ranks: &[u16]) {
        self.ranks.copy_from_slice(ranks);
        self.metrics.fill(None);
    }

    /// The axes that are among some parameters, as a mask.
    #[must_use]
    pub fn mask_of(&self, parameters: &[usize]) -> u64 {
        parameters.iter().filter_map(|&one| self.axis_of[one]).fold(0, |mask, axis| mask | 1 << axis)
    }

    /// The mask of all axes.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.mask_of(&self.axes)
    }

    fn cardinality(&self, axis: usize) -> usize {
        self.space.cardinalities()[self.axes[axis]]
    }

    fn axes_of(&self, mask: u64) -> impl DoubleEndedIterator<Item = usize> + use<> {
        (0..self.axes.len()).filter(move |axis| mask >> axis & 1 == 1)
    }

    /// Number of combinations of the axes of a mask.
    #[must_use]
    pub fn cells(&self, mask: u64) -> usize {
        self.axes_of(mask).map(|axis| self.cardinality(axis)).product()
    }

    /// Calls `f` with each combination of the axes of a mask: ranks of all parameters, the fixed ones
    /// included.
    pub fn each(&self, mask: u64, mut f: impl FnMut(&[u16])) {
        let mut ranks = self.ranks.clone();
        for axis in 0..self.axes.len() {
            ranks[self.axes[axis]] = 0;
        }
        for _ in 0..self.cells(mask) {
            f(&ranks);
            for axis in self.axes_of(mask).rev() {
                let rank = &mut ranks[self.axes[axis]];
                *rank += 1;
                if usize::from(*rank) < self.cardinality(axis) {
                    break;
                }
                *rank = 0;
            }
        }
    }

    /// Positions in a column of mask `part` for each combination of the axes of `whole`, which include those.
    pub fn positions(&mut self, whole: u64, part: u64) -> Rc<[u16]> {
        if let Some(map) = self.maps.get(&(whole, part)) {
            return Rc::clone(map);
        }
        let mut weights = vec![0; self.axes.len()];
        let mut weight = 1;
        for axis in self.axes_of(part).rev() {
            weights[axis] = weight;
            weight *= self.cardinality(axis);
        }
        let mut positions = Vec::with_capacity(self.cells(whole));
        self.each(whole, |ranks| {
            let weighted =
                self.axes.iter().zip(&weights).map(|(&axis, weight)| usize::from(ranks[axis]) * weight);
            positions.push(weighted.sum::<usize>() as u16);
        });
        let map: Rc<[u16]> = positions.into();
        self.maps.insert((whole, part), Rc::clone(&map));
        map
    }

    fn zip<T: Copy, U>(&mut self, a: &Column<T>, b: &Column<T>, f: impl Fn(T, T) -> U) -> Column<U> {
        let mask = a.mask | b.mask;
        let values = if b.mask == 0 {
            a.values.iter().map(|&x| f(x, b.values[0])).collect()
        } else if a.mask == 0 {
            b.values.iter().map(|&y| f(a.values[0], y)).collect()
        } else if a.mask == b.mask {
            a.values.iter().zip(&b.values).map(|(&x, &y)| f(x, y)).collect()
        } else {
            let (left, right) = (self.positions(mask, a.mask), self.positions(mask, b.mask));
            let pairs = left.iter().zip(&right[..]);
            pairs.map(|(&x, &y)| f(a.values[usize::from(x)], b.values[usize::from(y)])).collect()
        };
        Column { mask, values }
    }

    /// A metric of the space, by position.
    pub fn metric(&mut self, position: usize) -> Rc<Column<f64>> {
        if let Some(column) = &self.metrics[position] {
            return Rc::clone(column);
        }
        let space = self.space;
        let column = Rc::new(self.number(&space.metrics[position].expression));
        self.metrics[position] = Some(Rc::clone(&column));
        column
    }

    /// Whether a constraint of the space, by position, holds.
    pub fn constraint(&mut self, position: usize) -> Column<bool> {
        let space = self.space;
        self.condition(&space.constraints[position].condition)
    }

    fn number(&mut self, number: &Number) -> Column<f64> {
        match number {
            Number::Literal(value) => Column::constant(*value),
            Number::Parameter(parameter) => {
                let numbers = self.space.numbers(*parameter);
                match self.axis_of[*parameter] {
                    Some(axis) => Column { mask: 1 << axis, values: numbers.to_vec() },
                    None => Column::constant(numbers[usize::from(self.ranks[*parameter])]),
                }
            }
            Number::Metric(metric) => (*self.metric(*metric)).clone(),
            Number::Negate(a) => self.number(a).map(|value| -value),
            Number::Arithmetic(operator, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                // One loop each, for the compiler to vectorise.
                match operator {
                    Arithmetic::Add => self.zip(&a, &b, |x, y| x + y),
                    Arithmetic::Subtract => self.zip(&a, &b, |x, y| x - y),
                    Arithmetic::Multiply => self.zip(&a, &b, |x, y| x * y),
                    Arithmetic::Divide => self.zip(&a, &b, |x, y| x / y),
                    Arithmetic::FloorDivide | Arithmetic::Modulo => {
                        self.zip(&a, &b, |x, y| operator.apply(x, y))
                    }
                }
            }
            Number::Call(function, arguments) => {
                let mut all = arguments.iter();
                let first = all.next().map_or_else(|| Column::constant(f64::NAN), |one| self.number(one));
                match function {
                    Function::Min => all.fold(first, |lesser, one| {
                        let one = self.number(one);
                        self.zip(&lesser, &one, least)
                    }),
                    Function::Max => all.fold(first, |greater, one| {
                        let one = self.number(one);
                        self.zip(&greater, &one, most)
                    }),
                    Function::Abs => first.map(f64::abs),
                    Function::Ceil => first.map(f64::ceil),
                    Function::Floor => first.map(f64::floor),
                    Function::Log2 => first.map(f64::log2),
                }
            }
        }
    }

    fn condition(&mut self, condition: &Condition) -> Column<bool> {
        match condition {
            Condition::Literal(value) => Column::constant(*value),
            Condition::Rank { parameter, rank, equal } => match self.axis_of[*parameter] {
                Some(axis) => {
                    let values = (0..self.cardinality(axis)).map(|one| (one == *rank) == *equal).collect();
                    Column { mask: 1 << axis, values }
                }
                None => Column::constant((usize::from(self.ranks[*parameter]) == *rank) == *equal),
            },
            Condition::Compare(operator, a, b) => {
                let (a, b) = (self.number(a), self.number(b));
                match operator {
                    Comparison::Less => self.zip(&a, &b, |x, y| x < y),
                    Comparison::LessEqual => self.zip(&a, &b, |x, y| x <= y),
                    Comparison::Equal | Comparison::NotEqual => self.zip(&a, &b, |x, y| operator.holds(x, y)),
                }
            }
            Condition::And(a, b) => {
                let (a, b) = (self.condition(a), self.condition(b));
                self.zip(&a, &b, |x, y| x && y)
            }
            Condition::Or(a, b) => {
                let (a, b) = (self.condition(a), self.condition(b));
                self.zip(&a, &b, |x, y| x || y)
            }
        }
    }
}
