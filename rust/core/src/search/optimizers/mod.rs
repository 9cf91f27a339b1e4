//! The search methods, one a file, each an [`Optimizer`](super::Optimizer).

mod annealing;
mod differential_evolution;
mod firefly;
mod genetic;
mod local_search;
mod nsga2;
mod proposals;
mod quality_diversity;
mod random;

pub use annealing::{Annealing, AnnealingOptions};
pub use differential_evolution::{DifferentialEvolution, DifferentialEvolutionOptions};
pub use firefly::{Firefly, FireflyOptions};
pub use genetic::{Genetic, GeneticOptions};
pub use local_search::{LocalSearch, LocalSearchOptions};
pub use nsga2::{Nsga2, Nsga2Options};
pub use quality_diversity::{MeasureRange, QualityDiversity, QualityDiversityOptions};
pub use random::Random;
