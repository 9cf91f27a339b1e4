//! `DesignSpace`.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use prime_fast_core as core;
use prime_fast_core::space::{Rank, Value};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::arrays::{Ranks, matrix, rows};
use crate::error::{configuration, data, raise};
use crate::signals::Signals;

/// A discrete design space.
#[pyclass(frozen, module = "prime_fast._core")]
pub struct DesignSpace {
    pub inner: Arc<core::DesignSpace>,
}

/// Applies `f` to every row of ranks, detached.
fn each<T: Send>(
    py: Python<'_>,
    space: &core::DesignSpace,
    designs: &Bound<'_, PyAny>,
    narrow: impl Fn(&[u8]) -> T + Sync + Send,
    wide: impl Fn(&[u16]) -> T + Sync + Send,
) -> PyResult<Vec<T>> {
    fn run<R: Rank + numpy::Element, T: Send>(
        py: Python<'_>,
        space: &core::DesignSpace,
        array: &PyReadonlyArray2<'_, R>,
        f: impl Fn(&[R]) -> T + Sync + Send,
    ) -> PyResult<Vec<T>> {
        let ranks = rows(array);
        let ranks = ranks.as_ref();
        py.detach(|| {
            space.validate(ranks)?;
            Ok(ranks.chunks_exact(space.dimensions()).map(f).collect())
        })
        .map_err(raise)
    }
    match Ranks::new(designs, space.dimensions())? {
        Ranks::Narrow(array) => run(py, space, &array, narrow),
        Ranks::Wide(array) => run(py, space, &array, wide),
    }
}

/// A value of a parameter.
fn one_value(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(value) = value.extract() {
        return Ok(Value::Boolean(value));
    }
    if let Ok(value) = value.extract() {
        return Ok(Value::Integer(value));
    }
    if let Ok(value) = value.extract() {
        return Ok(Value::Number(value));
    }
    value.extract().map(Value::Text).map_err(|_| {
        let shown: String = value.to_string().chars().take(40).collect();
        configuration(format!("`{name}` is {shown}; it must be a finite number, a text or a boolean"))
    })
}

impl DesignSpace {
    fn check_constraints(&self, positions: &[usize]) -> PyResult<()> {
        let count = self.inner.constraints().len();
        match positions.iter().find(|&&position| position >= count) {
            Some(position) => Err(configuration(format!("there is no constraint {position} among {count}"))),
            None => Ok(()),
        }
    }
}

#[pymethods]
impl DesignSpace {
    #[staticmethod]
    fn from_toml(text: &str, origin: &str) -> PyResult<Self> {
        Ok(Self { inner: Arc::new(core::DesignSpace::from_toml(text, origin).map_err(raise)?) })
    }

    #[staticmethod]
    fn bundled(name: &str) -> PyResult<Self> {
        Ok(Self { inner: Arc::new(core::DesignSpace::bundled(name).map_err(raise)?) })
    }

    #[staticmethod]
    fn bundled_names() -> Vec<&'static str> {
        core::DesignSpace::bundled_names().collect()
    }

    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    #[getter]
    fn title(&self) -> &str {
        self.inner.title()
    }

    #[getter]
    fn text(&self) -> &str {
        self.inner.text()
    }

    #[getter]
    fn size(&self) -> u128 {
        self.inner.size()
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.inner.parameters().iter().map(|parameter| parameter.name.as_str()).collect()
    }

    #[getter]
    fn units(&self) -> Vec<&str> {
        self.inner.parameters().iter().map(|parameter| parameter.unit.as_str()).collect()
    }

    #[getter]
    fn columns(&self) -> Vec<&str> {
        let column = |parameter: &core::space::Parameter| parameter.column.is_some();
        let parameters = self.inner.parameters().iter();
        parameters.map(|p| if column(p) { p.column.as_deref().unwrap_or(&p.name) } else { &p.name }).collect()
    }

    #[getter]
    fn kinds(&self) -> Vec<&'static str> {
        self.inner.parameters().iter().map(|parameter| parameter.kind.name()).collect()
    }

    #[getter]
    fn cardinalities(&self) -> Vec<usize> {
        self.inner.cardinalities().to_vec()
    }

    #[getter]
    fn values(&self, py: Python<'_>) -> PyResult<Vec<Vec<Py<PyAny>>>> {
        let object = |value: &Value| match value {
            Value::Boolean(value) => value.into_py_any(py),
            Value::Integer(value) => value.into_py_any(py),
            Value::Number(value) => value.into_py_any(py),
            Value::Text(value) => value.into_py_any(py),
        };
        self.inner
            .parameters()
            .iter()
            .map(|parameter| parameter.values.iter().map(object).collect())
            .collect()
    }

    /// Name and unit of each metric.
    #[getter]
    fn metrics(&self) -> Vec<(&str, &str)> {
        self.inner.metrics().iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect()
    }

    /// Name and expression of each constraint.
    #[getter]
    fn constraints(&self) -> Vec<(&str, &str)> {
        let constraints = self.inner.constraints().iter();
        constraints.map(|constraint| (constraint.name.as_str(), constraint.text.as_str())).collect()
    }

    /// The same space with each named parameter reduced to one value, of any size where it is a number.
    fn narrowed(&self, values: Vec<(String, Bound<'_, PyAny>)>) -> PyResult<Self> {
        let values = values.iter().map(|(name, value)| Ok((name.as_str(), one_value(name, value)?)));
        let values = values.collect::<PyResult<Vec<_>>>()?;
        let inner = self.inner.narrowed(&values, &[core::simulator::CACHING]).map_err(raise)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    fn indices<'py>(
        &self,
        py: Python<'py>,
        designs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<u64>>> {
        let space = &self.inner;
        let indices = each(py, space, designs, |row| space.index_of(row), |row| space.index_of(row))?;
        Ok(indices.into_pyarray(py))
    }

    fn ranks<'py>(
        &self,
        py: Python<'py>,
        indices: PyReadonlyArray1<'py, u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let indices = indices.as_array().to_vec();
        let space = &self.inner;
        if let Some(&index) = indices.iter().find(|&&index| u128::from(index) >= space.size()) {
            return Err(data(format!(
                "design index {index} is not below the size of the space, {}",
                space.size()
            )));
        }
        let ranks = py.detach(|| {
            let mut ranks = vec![0_u16; indices.len() * space.dimensions()];
            for (row, &index) in ranks.chunks_exact_mut(space.dimensions()).zip(&indices) {
                space.ranks_of(index, row);
            }
            ranks
        });
        matrix(py, space, &ranks)
    }

    fn check<'py>(
        &self,
        py: Python<'py>,
        designs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<i32>>> {
        let space = &self.inner;
        let code = |broken: Option<usize>| broken.map_or(-1, |constraint| constraint as i32);
        let codes = each(py, space, designs, |row| code(space.check(row)), |row| code(space.check(row)))?;
        Ok(codes.into_pyarray(py))
    }

    fn metric<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        designs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let space = &self.inner;
        let metric = space.metric_position(name).map_err(raise)?;
        let values =
            each(py, space, designs, |row| space.metric(metric, row), |row| space.metric(metric, row))?;
        Ok(values.into_pyarray(py))
    }

    /// Whether each design meets the constraint at this position.
    fn meets<'py>(
        &self,
        py: Python<'py>,
        constraint: usize,
        designs: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArray1<bool>>> {
        self.check_constraints(&[constraint])?;
        let space = &self.inner;
        let narrow = |row: &[u8]| space.meets(constraint, row);
        Ok(each(py, space, designs, narrow, |row| space.meets(constraint, row))?.into_pyarray(py))
    }

    /// Number of designs that meet the constraints at these positions; None where it takes too much work.
    fn count(&self, py: Python<'_>, constraints: Vec<usize>, work: u64) -> PyResult<Option<u128>> {
        self.check_constraints(&constraints)?;
        let signals = Signals::new();
        let count = py.detach(|| self.inner.count(&constraints, work, &|| signals.look()));
        signals.take().map_or(Ok(count), Err)
    }

    /// Raises where bounds prove that no design meets the constraints.
    fn check_possible(&self, py: Python<'_>, origin: &str) -> PyResult<()> {
        py.detach(|| self.inner.check_possible(origin)).map_err(raise)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String, String))> {
        let constructor = py.get_type::<Self>().getattr("from_toml")?;
        Ok((constructor, (self.inner.text().to_owned(), self.inner.name().to_owned())))
    }
}
