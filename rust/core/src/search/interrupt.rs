//! How a search is told, in the middle of what it does, to end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Says whether to end what is under way; never by default.
#[derive(Clone, Default)]
pub struct Interrupt(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Interrupt {
    /// One that ends what is under way once `is_due` says so, which is asked often and from any thread.
    pub fn new(is_due: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(is_due)))
    }

    /// The same, but not before this much time has passed from now on.
    #[must_use]
    pub fn after(&self, time: Duration) -> Self {
        let (this, start) = (self.clone(), Instant::now());
        Self::new(move || start.elapsed() >= time && this.is_due())
    }

    /// Whether to end.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.0.as_ref().is_some_and(|is_due| is_due())
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Interrupt").finish_non_exhaustive()
    }
}
