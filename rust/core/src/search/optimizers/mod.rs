//! The search methods, one a file, each an [`Optimizer`](super::Optimizer).

mod genetic;
mod random;

pub use genetic::{Genetic, GeneticOptions};
pub use random::Random;
