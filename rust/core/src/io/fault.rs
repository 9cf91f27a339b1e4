//! What can be wrong with a file or a record of it.

use std::fmt;

/// What is wrong, in parts: records with the same problem are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong; there are few of them, whatever the file.
    pub problem: String,
    /// What was found; empty where the problem says it.
    pub found: String,
    /// What would be right, or is to be done.
    pub right: &'static str,
}

impl Fault {
    pub(super) fn new(problem: impl Into<String>, found: impl Into<String>, right: &'static str) -> Self {
        Self { problem: problem.into(), found: found.into(), right }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.problem)?;
        if !self.found.is_empty() {
            write!(formatter, ": found {}", self.found)?;
        }
        write!(formatter, "; {}", self.right)
    }
}

/// Bytes that [`shown`] shows.
pub(super) const LONGEST: usize = 32;

/// Bytes of a file as a text of bounded length that is safe to print.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LONGEST)]);
    let more = if bytes.len() > LONGEST { "..." } else { "" };
    format!("{text:?}{more}")
}
