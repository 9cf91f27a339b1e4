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
    text: String,
    origin: String,
}

#[pymethods]
impl Application {
    #[staticmethod]
    fn bundled(name: &str) -> PyResult<Self> {
        let (file, text) = core::workload::bundled_file(name).map_err(raise)?;
        Self::from_toml(text, file)
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
        let inner = Arc::new(core::workload::Application::from_toml(text, origin).map_err(raise)?);
        Ok(Self { inner, text: text.to_owned(), origin: origin.to_owned() })
    }

    /// Text that `from_toml` was given.
    fn to_toml(&self) -> &str {
        &self.text
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String, String))> {
        let this = slf.get();
        Ok((slf.getattr("from_toml")?, (this.text.clone(), this.origin.clone())))
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

    /// Height, width and channels of the network's input.
    #[getter]
    fn input(&self) -> [u32; 3] {
        self.inner.input
    }

    /// One dictionary a layer, in the order in which they run.
    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let layer = |layer: &core::workload::Layer| {
            let fields = PyDict::new(py);
            fields.set_item("name", &layer.name)?;
            fields.set_item("kind", layer.kind.name())?;
            fields.set_item("input", layer.input)?;
            fields.set_item("output", layer.output)?;
            fields.set_item("kernel", layer.kernel)?;
            fields.set_item("stride", layer.stride)?;
            fields.set_item("dilation", layer.dilation)?;
            fields.set_item("groups", layer.groups)?;
            fields.set_item("view", layer.view)?;
            fields.set_item("inputs", &layer.inputs)?;
            fields.set_item("macs", layer.macs())?;
            fields.set_item("parameter_bytes", layer.parameter_bytes())?;
            fields.set_item("vector_operations", layer.vector_operations())?;
            fields.set_item("input_bytes", layer.input_bytes())?;
            fields.set_item("output_bytes", layer.output_bytes())?;
            Ok(fields)
        };
        self.inner.layers().iter().map(layer).collect()
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
