//! Core of prime-fast: discrete design spaces, constraints, an analytical accelerator simulator and batched
//! evolutionary search. Pure Rust, no Python.

pub mod error;
pub mod io;
pub mod processor;
pub mod search;
pub mod simulator;
pub mod space;
mod suggest;
pub mod sweep;
pub mod workload;

pub use error::{Error, Infeasible, Result};
pub use space::DesignSpace;
