//! The one error type of the crate; its variants are the classes a caller can act on.

/// What went wrong, in a sentence that names the place, what was found and what would be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// An unusable argument or configuration file: unknown name, bad expression, size of zero.
    #[error("{0}")]
    Configuration(String),
    /// Unusable data: a value outside its parameter's list, a score that is not a number.
    #[error("{0}")]
    Data(String),
    /// Nothing in the design space meets the constraints and limits.
    #[error("{}", .0.message)]
    NoFeasibleDesign(Infeasible),
}

/// That nothing is feasible, and what came nearest.
#[derive(Debug, Clone, PartialEq)]
pub struct Infeasible {
    /// The sentence.
    pub message: String,
    /// Ranks and violation of the design that misses by least, where designs were looked at one by one.
    pub nearest: Option<(Vec<u16>, f64)>,
}

/// `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
