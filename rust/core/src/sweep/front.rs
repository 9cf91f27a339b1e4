//! Designs that no other beats in all of a few measures.

/// Most measures of a front.
pub(super) const MAX_MEASURES: usize = 3;

/// A design on the front; measures beyond those wanted are 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub values: [f64; MAX_MEASURES],
    pub index: u64,
}

/// The designs that no other is at least as good as in all measures and better in one; of equals that of
/// least index. Which these are depends on the designs alone, not on their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Front {
    /// The points that last beat another go first: they will beat most of those that follow too.
    points: Vec<Point>,
}

fn at_least_as_good(a: &[f64; MAX_MEASURES], b: &[f64; MAX_MEASURES]) -> bool {
    a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]
}

impl Front {
    /// Whether a point beats every design whose values are at least these.
    #[expect(clippy::float_cmp, reason = "only what is equal may be the same point")]
    pub(super) fn beats_all(&mut self, values: &[f64; MAX_MEASURES]) -> bool {
        self.find(values).is_some_and(|point| self.points[point].values != *values)
    }

    /// A point that is at least as good, moved forward.
    fn find(&mut self, values: &[f64; MAX_MEASURES]) -> Option<usize> {
        let found = self.points.iter().position(|point| at_least_as_good(&point.values, values))?;
        self.points.swap(found, found / 2);
        Some(found / 2)
    }

    /// Takes a design whose values are numbers.
    #[expect(clippy::float_cmp, reason = "only what is equal is the same point")]
    pub(super) fn insert(&mut self, point: Point) {
        if let Some(found) = self.find(&point.values) {
            let known = &mut self.points[found];
            if known.values == point.values {
                known.index = known.index.min(point.index);
            }
            return;
        }
        self.points.retain(|known| !at_least_as_good(&point.values, &known.values));
        self.points.push(point);
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.points.into_iter().for_each(|point| self.insert(point));
    }

    /// The points by the first measure, the second, the third.
    pub(super) fn into_points(mut self) -> Vec<Point> {
        let order = |a: &Point, b: &Point| {
            let values = a.values.iter().zip(&b.values).map(|(a, b)| a.total_cmp(b));
            values.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        };
        self.points.sort_by(order);
        self.points
    }
}
