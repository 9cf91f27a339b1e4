//! Pareto fronts for two and three objectives, all minimised: sorting, crowding, hypervolume, an archive.
//!
//! Point a dominates b when it is nowhere greater and somewhere less. Points come as slices of `objectives`
//! numbers each, infinite ones included; NaN is an error. -0 and 0 are equal.

use std::collections::BTreeMap;

use super::Found;
use crate::{Error, Result};

const SORT: &str = "non-dominated sorting";
/// Most objectives.
const MOST: usize = 3;
/// Most members of an archive's block.
const BLOCK: usize = 64;

type Values = [f64; MOST];
/// Values as integers of the same order.
type Keys = [u64; MOST];

/// A double as an integer of the same order; -0 is 0.
fn key(value: f64) -> u64 {
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// Errs unless there are two or three objectives.
pub(super) fn check_objectives(who: &str, objectives: usize) -> Result<()> {
    if !(2..=MOST).contains(&objectives) {
        return Err(Error::Configuration(format!("{who} takes 2 or 3 objectives, found {objectives}")));
    }
    Ok(())
}

/// Keys of points that are checked; those past the objectives are 0.
fn keys(who: &str, points: &[f64], objectives: usize) -> Result<Vec<Keys>> {
    check_objectives(who, objectives)?;
    if !points.len().is_multiple_of(objectives) {
        return Err(Error::Configuration(format!(
            "{} numbers were given as points; they must be rows of {objectives}",
            points.len()
        )));
    }
    if let Some(position) = points.iter().position(|value| value.is_nan()) {
        return Err(Error::Configuration(format!(
            "objective {} of point {} is NaN; it must be a number",
            position % objectives,
            position / objectives
        )));
    }
    let keys = points.chunks_exact(objectives).map(|point| {
        let mut keys = [0; MOST];
        keys.iter_mut().zip(point).for_each(|(slot, &value)| *slot = key(value));
        keys
    });
    Ok(keys.collect())
}

/// The least z at any y or below, for points that come one by one: a falling staircase.
#[derive(Default)]
struct Staircase {
    /// z by y; both strictly monotone.
    steps: BTreeMap<u64, u64>,
}

impl Staircase {
    /// Whether a point is at most (y, z).
    fn covers(&self, y: u64, z: u64) -> bool {
        self.steps.range(..=y).next_back().is_some_and(|(_, &least)| least <= z)
    }

    /// Takes a point that is not covered; `removed` is called with those it covers, by rising y.
    fn insert(&mut self, y: u64, z: u64, mut removed: impl FnMut(u64, u64)) {
        while let Some((&next, &least)) = self.steps.range(y..).next()
            && least >= z
        {
            removed(next, least);
            self.steps.remove(&next);
        }
        self.steps.insert(y, z);
    }
}

/// The front of each point: 0 for those that none dominates, 1 for those that only points of front 0 do, and
/// so on.
///
/// With `violations`, one a point, feasible points (0 or less) are sorted as above and come first; the others
/// follow by violation, those of equal violation on one front (constrained domination: Deb, Pratap, Agarwal,
/// Meyarivan 2002). The values of infeasible points are not looked at.
///
/// O(n log n) for two objectives: points in lexicographic order, each on the first front whose last point does
/// not dominate it, found by bisection. O(n log^2 n) for three, where the fronts are staircases in the last two
/// objectives (efficient non-dominated sort: Zhang, Tian, Cheng, Jin 2015). Errs on other numbers of objectives,
/// on incomplete points and on NaN.
pub fn non_dominated_sort(points: &[f64], objectives: usize, violations: Option<&[f64]>) -> Result<Vec<u32>> {
    let Some(violations) = violations else {
        let keys = keys(SORT, points, objectives)?;
        let mut order: Vec<(Keys, u32)> = keys.into_iter().zip(0..).collect();
        let mut fronts = vec![0; order.len()];
        sort(&mut order, objectives, &mut fronts);
        return Ok(fronts);
    };
    check_objectives(SORT, objectives)?;
    if points.len() != violations.len() * objectives {
        return Err(Error::Configuration(format!(
            "{} violations were given for {} numbers of points; each point has one violation and {objectives} \
             numbers",
            violations.len(),
            points.len()
        )));
    }
    if let Some(point) = violations.iter().position(|violation| violation.is_nan()) {
        return Err(Error::Configuration(format!(
            "the violation of point {point} is NaN; it must be a number"
        )));
    }
    let is_feasible = |&(_, violation): &(&[f64], &f64)| *violation <= 0.0;
    let rows = || points.chunks_exact(objectives).zip(violations);
    let feasible: Vec<f64> = rows().filter(is_feasible).flat_map(|(point, _)| point).copied().collect();
    let inner = non_dominated_sort(&feasible, objectives, None)?;
    let mut fronts = vec![0; violations.len()];
    let slots = fronts.iter_mut().zip(violations).filter(|(_, violation)| **violation <= 0.0);
    slots.zip(&inner).for_each(|((slot, _), &front)| *slot = front);
    let next = inner.iter().max().map_or(0, |last| last + 1);
    let mut infeasible: Vec<usize> = (0..violations.len()).filter(|&i| violations[i] > 0.0).collect();
    infeasible.sort_by(|&a, &b| violations[a].total_cmp(&violations[b]));
    let ties = infeasible.chunk_by(|&a, &b| key(violations[a]) == key(violations[b]));
    for (front, tied) in (next..).zip(ties) {
        for &point in tied {
            fronts[point] = front;
        }
    }
    Ok(fronts)
}

/// Sets the front of each point, given by its keys and its number.
fn sort(points: &mut [(Keys, u32)], objectives: usize, fronts: &mut [u32]) {
    points.sort_unstable();
    let mut last: Option<(Keys, u32)> = None;
    // The last, and so least, second objective of each front; or, for three objectives, the last two.
    let (mut tails, mut stairs) = (Vec::<u64>::new(), Vec::<Staircase>::new());
    for &(keys, point) in &*points {
        let [_, y, z] = keys;
        let front = match last {
            Some((same, front)) if same == keys => front as usize,
            _ if objectives == 2 => {
                let front = tails.partition_point(|&tail| tail <= y);
                if front == tails.len() {
                    tails.push(y);
                }
                tails[front] = y;
                front
            }
            _ => {
                let front = stairs.partition_point(|stairs| stairs.covers(y, z));
                if front == stairs.len() {
                    stairs.push(Staircase::default());
                }
                stairs[front].insert(y, z, |_, _| {});
                front
            }
        };
        last = Some((keys, front as u32));
        fronts[point as usize] = front as u32;
    }
}

/// The crowding distance of each point among those of its front (Deb and others 2002).
///
/// The sum over the objectives of the distance between the neighbours on either side, as a share of the front's
/// extent; infinite for the first and the last in an objective. Of points that are equal in an objective, the
/// one of lower number stands first. An objective without extent, or with an infinite one, adds nothing but
/// its two ends. `fronts` are those of [`non_dominated_sort`], or all equal. Errs as it does.
pub fn crowding_distances(points: &[f64], objectives: usize, fronts: &[u32]) -> Result<Vec<f64>> {
    let keys = keys("a crowding distance", points, objectives)?;
    if keys.len() != fronts.len() {
        return Err(Error::Configuration(format!(
            "{} fronts were given for {} points; each needs one",
            fronts.len(),
            keys.len()
        )));
    }
    let mut distances = vec![0.0; fronts.len()];
    let mut order: Vec<(u32, u64, u32)> = Vec::with_capacity(fronts.len());
    for objective in 0..objectives {
        order.clear();
        order
            .extend(fronts.iter().zip(&keys).zip(0..).map(|((&front, keys), i)| (front, keys[objective], i)));
        order.sort_unstable();
        for front in order.chunk_by(|a, b| a.0 == b.0) {
            let at = |place: usize| value(front[place].1);
            let extent = at(front.len() - 1) - at(0);
            distances[front[0].2 as usize] = f64::INFINITY;
            distances[front[front.len() - 1].2 as usize] = f64::INFINITY;
            if extent > 0.0 && extent.is_finite() {
                for (place, &(_, _, point)) in front.iter().enumerate().take(front.len() - 1).skip(1) {
                    distances[point as usize] += (at(place + 1) - at(place - 1)) / extent;
                }
            }
        }
    }
    Ok(distances)
}

/// The volume between points and a reference point: of all that at least one point dominates and that is less
/// than the reference.
///
/// Points that are not less than the reference in every objective count nothing; equal and dominated ones change
/// nothing. Infinite where such a point has an objective of minus infinity. O(n log n), by a sweep over the last
/// objective for three (Fonseca, Paquete, Lopez-Ibanez 2006). Errs on numbers of objectives other than 2 and
/// 3, on incomplete points, on NaN and on a reference that is not finite.
pub fn hypervolume(points: &[f64], objectives: usize, reference: &[f64]) -> Result<f64> {
    let keys = keys("a hypervolume", points, objectives)?;
    if reference.len() != objectives {
        return Err(Error::Configuration(format!(
            "the reference point has {} numbers; it must have {objectives}",
            reference.len()
        )));
    }
    if let Some(objective) = reference.iter().position(|value| !value.is_finite()) {
        return Err(Error::Configuration(format!(
            "objective {objective} of the reference point is {}; it must be a finite number",
            reference[objective]
        )));
    }
    let mut limits = [key(1.0); MOST];
    limits.iter_mut().zip(reference).for_each(|(limit, &value)| *limit = key(value));
    let inside = |keys: &Keys| keys.iter().zip(&limits).all(|(key, limit)| key < limit);
    let mut keys: Vec<Keys> = keys.into_iter().filter(inside).collect();
    if keys.iter().flatten().any(|&key| value(key) == f64::NEG_INFINITY) {
        return Ok(f64::INFINITY);
    }
    // With two objectives the third is 0 all along: every depth is that to 1, since its key counts as 0.
    keys.sort_unstable_by_key(|keys| [keys[2], keys[0], keys[1]]);
    let [right, top, depth] = limits;
    let mut stairs = Staircase::default();
    let mut volume = 0.0;
    for &[x, y, z] in &keys {
        if stairs.covers(x, y) {
            continue;
        }
        // What the point adds to the area below the reference: a staircase from the last step above it on,
        // column by column.
        let mut above = stairs.steps.range(..x).next_back().map_or(top, |(_, &above)| above);
        let (mut left, mut area) = (x, 0.0);
        let mut column = |to: u64, above: u64| {
            area += (value(to) - value(left)) * (value(above) - value(y));
            left = to;
        };
        stairs.insert(x, y, |next, step| {
            column(next, above);
            above = step;
        });
        let next = stairs.steps.range(x + 1..).next().map_or(right, |(&next, _)| next);
        column(next, above);
        volume += area * if objectives == 2 { 1.0 } else { value(depth) - value(z) };
    }
    Ok(volume)
}

/// A design on the front.
#[derive(Debug, Clone, Copy)]
struct Member {
    /// Those past the objectives are 0.
    values: Values,
    index: u64,
    /// Position of its ranks.
    row: u32,
}

/// Members that stand side by side by their first objective.
#[derive(Debug, Clone)]
struct Block {
    /// Never none.
    members: Vec<Member>,
    /// The values of the first member.
    first: Values,
    /// The least and the greatest of each objective.
    least: Values,
    most: Values,
}

impl Block {
    fn new(members: Vec<Member>) -> Self {
        let first = members.first().map_or([0.0; MOST], |member| member.values);
        let (mut least, mut most) = (first, first);
        for member in &members {
            for (objective, value) in member.values.into_iter().enumerate() {
                least[objective] = least[objective].min(value);
                most[objective] = most[objective].max(value);
            }
        }
        Self { members, first, least, most }
    }
}

#[expect(clippy::needless_bitwise_bool, reason = "which comparison fails is up to chance: no branches")]
fn at_most(a: &Values, b: &Values) -> bool {
    (a[0] <= b[0]) & (a[1] <= b[1]) & (a[2] <= b[2])
}

/// All designs offered that no other one dominates; of those with equal objectives the one of least index.
///
/// Which these are depends on the designs alone, not on their order. They stand in blocks of up to 64, sorted by
/// the first objective, the second, the third; a block is passed over where its least and greatest values show
/// that none of it matters.
#[derive(Debug, Clone)]
pub struct Front {
    objectives: usize,
    blocks: Vec<Block>,
    len: usize,
    /// Ranks of the members, row by row, and rows without a member.
    ranks: Vec<u16>,
    width: usize,
    free: Vec<u32>,
}

impl Front {
    /// An empty front of designs of `width` ranks, for two or three objectives.
    pub fn new(objectives: usize, width: usize) -> Result<Self> {
        check_objectives("a Pareto front", objectives)?;
        Ok(Self { objectives, blocks: vec![], len: 0, ranks: vec![], width, free: vec![] })
    }

    /// Number of designs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no design was offered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes a feasible design, unless one on the front dominates it; returns whether it is on the front now.
    ///
    /// Errs on a wrong number of objectives or ranks, and on NaN.
    pub fn offer(&mut self, index: u64, ranks: &[u16], scores: &[f64]) -> Result<bool> {
        if scores.len() != self.objectives || ranks.len() != self.width {
            return Err(Error::Configuration(format!(
                "a design of {} ranks and {} objectives was offered to a front of designs of {} ranks and {} \
                 objectives",
                ranks.len(),
                scores.len(),
                self.width,
                self.objectives
            )));
        }
        if let Some(objective) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Configuration(format!(
                "objective {objective} of design {index} is NaN; it must be a number"
            )));
        }
        Ok(self.insert(index, ranks, scores))
    }

    /// [`Self::offer`] of what is known to be proper.
    pub(super) fn insert(&mut self, index: u64, ranks: &[u16], scores: &[f64]) -> bool {
        let mut values = [0.0; MOST];
        values.iter_mut().zip(scores).for_each(|(slot, &score)| *slot = score + 0.0);
        // In lexicographic order, what dominates the design comes before it, and what it dominates after it.
        let home = self.blocks.partition_point(|block| block.first <= values).saturating_sub(1);
        for block in self.blocks.iter_mut().take(home + 1).rev() {
            if !at_most(&block.least, &values) {
                continue;
            }
            if let Some(known) = block.members.iter_mut().find(|known| at_most(&known.values, &values)) {
                let replaces = at_most(&values, &known.values) && index < known.index;
                if replaces {
                    known.index = index;
                    self.ranks[known.row as usize * self.width..][..self.width].copy_from_slice(ranks);
                }
                return replaces;
            }
        }
        let home = if self.remove(home, &values) {
            self.blocks.partition_point(|block| block.first <= values).saturating_sub(1)
        } else {
            home
        };
        let row = self.free.pop().unwrap_or_else(|| {
            self.ranks.resize((self.len + 1) * self.width, 0);
            self.len as u32
        });
        self.ranks[row as usize * self.width..][..self.width].copy_from_slice(ranks);
        self.len += 1;
        let member = Member { values, index, row };
        let mut members = self.blocks.get_mut(home).map(|block| std::mem::take(&mut block.members));
        let members = members.get_or_insert_default();
        members.insert(members.partition_point(|member| member.values < values), member);
        let upper = if members.len() > BLOCK { members.split_off(BLOCK / 2) } else { vec![] };
        let at = home..(home + 1).min(self.blocks.len());
        let halves = [std::mem::take(members), upper];
        self.blocks.splice(at, halves.into_iter().filter(|half| !half.is_empty()).map(Block::new));
        true
    }

    /// Removes what is dominated from a block on; returns whether there was any.
    fn remove(&mut self, from: usize, values: &Values) -> bool {
        let before = self.len;
        for block in self.blocks.iter_mut().skip(from).filter(|block| at_most(values, &block.most)) {
            let members = block.members.len();
            block.members.retain(|member| {
                let stays = !at_most(values, &member.values);
                if !stays {
                    self.free.push(member.row);
                }
                stays
            });
            if block.members.len() < members {
                self.len -= members - block.members.len();
                *block = Block::new(std::mem::take(&mut block.members));
            }
        }
        if self.len < before {
            self.blocks.retain(|block| !block.members.is_empty());
        }
        self.len < before
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.blocks.iter().flat_map(|block| &block.members)
    }

    /// Where the designs' ranks are, in the order of [`Self::found`]; see [`Self::ranks_at`].
    pub(super) fn rows(&self) -> impl Iterator<Item = u32> {
        self.members().map(|member| member.row)
    }

    pub(super) fn ranks_at(&self, row: u32) -> &[u16] {
        &self.ranks[row as usize * self.width..][..self.width]
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The designs, by their first objective, then the second, then the third.
    #[must_use]
    pub fn found(&self) -> Vec<Found> {
        let found = |member: &Member| Found {
            index: member.index,
            ranks: self.ranks_at(member.row).to_vec(),
            scores: member.values[..self.objectives].to_vec(),
        };
        self.members().map(found).collect()
    }

    /// [`hypervolume`] of the designs.
    pub fn hypervolume(&self, reference: &[f64]) -> Result<f64> {
        let points: Vec<f64> =
            self.members().flat_map(|member| &member.values[..self.objectives]).copied().collect();
        hypervolume(&points, self.objectives, reference)
    }
}
