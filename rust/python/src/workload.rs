//! `Application`.

use std::sync::Arc;

use prime_fast_core as core;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::raise;

/// A neural network as a list of layers.
#[pyclass(frozen, module = "prime_fast._core")]
pub struct Application {
    pub inner: Arc<core::workload::Application>,
}

#[pymethods]
impl Application {
    #[staticmethod]
    fn bundled(name: &str) -> PyResult<Self> {
        Ok(Self { inner: Arc::new(core::workload::Application::bundled(name).map_err(raise)?) })
    }

    #[staticmethod]
    fn bundled_names() -> Vec<&'static str> {
        core::workload::bundled_names().collect()
    }

    #[staticmethod]
    fn prime_names() -> Vec<&'static str> {
        core::workload::prime_names().collect()
    }

    #[staticmethod]
    fn from_toml(text: &str, origin: &str) -> PyResult<Self> {
        Ok(Self { inner: Arc::new(core::workload::Application::from_toml(text, origin).map_err(raise)?) })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    #[getter]
    fn title(&self) -> &str {
        &self.inner.title
    }

    #[getter]
    fn source(&self) -> &str {
        &self.inner.source
    }

    #[getter]
    fn is_stand_in(&self) -> bool {
        self.inner.stand_in
    }

    /// Layer counts, bytes of weights and activations, MACs and vector operations.
    #[getter]
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = self.inner.totals();
        let fields = PyDict::new(py);
        fields.set_item("conv_layers", totals.conv_layers)?;
        fields.set_item("depthwise_layers", totals.depthwise_layers)?;
        fields.set_item("feed_forward_layers", totals.feed_forward_layers)?;
        fields.set_item("parameter_bytes", totals.parameter_bytes)?;
        fields.set_item("macs", totals.macs)?;
        fields.set_item("recurrent_layers", totals.recurrent_layers)?;
        fields.set_item("vector_operations", totals.vector_operations)?;
        fields.set_item("activation_bytes", totals.activation_bytes)?;
        fields.set_item("largest_activation_bytes", totals.largest_activation_bytes)?;
        fields.set_item("largest_parameter_bytes", totals.largest_parameter_bytes)?;
        fields.set_item("largest_macs", totals.largest_macs)?;
        Ok(fields)
    }
}
