//! Ctrl-C and other signals during a search.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use prime_fast_core::search::Interrupt;
use pyo3::prelude::*;

/// Signals are looked for this often.
pub const PERIOD: Duration = Duration::from_millis(50);

/// Takes signals on the thread that it was made on, where Python has them handled, and says so to all threads.
pub struct Signals {
    home: ThreadId,
    stop: AtomicBool,
    looked: Mutex<Instant>,
    raised: Mutex<Option<PyErr>>,
}

impl Signals {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            home: thread::current().id(),
            stop: AtomicBool::new(false),
            looked: Mutex::new(Instant::now()),
            raised: Mutex::new(None),
        })
    }

    /// What ends a search once a signal has come.
    pub fn interrupt(self: &Arc<Self>) -> Interrupt {
        let this = Arc::clone(self);
        Interrupt::new(move || this.look())
    }

    /// Looks for signals where it is time to; whether one is to end the search.
    pub fn look(&self) -> bool {
        if thread::current().id() == self.home && self.is_time() {
            Python::attach(|py| {
                if let Err(error) = py.check_signals() {
                    self.raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    self.stop();
                }
            });
        }
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the search.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The exception that a signal raised.
    pub fn take(&self) -> Option<PyErr> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_time(&self) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = looked.elapsed() >= PERIOD;
        if is_time {
            *looked = Instant::now();
        }
        is_time
    }
}
