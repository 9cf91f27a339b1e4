//! Logged designs from the records of many files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::example::{Feature, Kind, decode};
use super::fault::{Fault, LONGEST, shown};
use super::records::{Compression, Records};
use crate::error::{Error, Result};

/// The features of a record: the first [`FLOATS`] are float lists of length 1, the last is an int64 list of
/// length 1.
pub const FEATURES: [&str; FLOATS + 1] = [
    "param_1",
    "param_2",
    "param_3",
    "param_4",
    "param_5",
    "param_6",
    "param_7",
    "param_8",
    "param_9",
    "param_10",
    "runtime",
    "area",
    "infeasible",
];

/// How many of [`FEATURES`], its first, are floating-point numbers.
pub const FLOATS: usize = 12;

const RUNTIME: usize = 10;
const INFEASIBLE: usize = FLOATS;

/// Examples kept of a problem, and of the names of features that are not known.
pub const SHOWN: usize = 5;

/// How often progress is reported.
const INTERVAL: Duration = Duration::from_millis(50);

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadProgress {
    /// Bytes read of the files, as they lie on the disk.
    pub bytes: u64,
}

/// The designs of all files, in the order of files and records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesignRecords {
    /// A column for each of the first [`FLOATS`] features; an infeasible design's runtime, a placeholder, is
    /// NaN.
    pub floats: [Vec<f32>; FLOATS],
    /// Whether the design is infeasible.
    pub infeasible: Vec<bool>,
    /// Designs by file.
    pub rows: Vec<usize>,
    /// What was skipped, by file and problem.
    pub bad: Vec<BadRecords>,
    /// Names of features that were ignored, the first [`SHOWN`] of each file.
    pub ignored: BTreeSet<String>,
    /// Whether reading was stopped: then the rest means nothing.
    pub stopped: bool,
}

/// The records of one file with the same problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecords {
    /// Position of the file.
    pub file: usize,
    /// What is wrong.
    pub problem: String,
    /// How many records.
    pub count: u64,
    /// Number of the record, its place in bytes and what was found, of the first [`SHOWN`]; number 0 is the
    /// file.
    pub examples: Vec<(u64, u64, String)>,
}

/// Reads the files on some threads, on all processors by default. `progress` is called on the calling thread
/// some times a second; `stop` ends the work at once. What is read doesn't depend on the number of threads.
///
/// Fails with the first fault of the first file that has one; with `skip_bad` bad records are counted.
pub fn read_designs(
    paths: &[PathBuf],
    skip_bad: bool,
    threads: Option<usize>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(ReadProgress),
) -> Result<DesignRecords> {
    if threads == Some(0) {
        return Err(Error::Configuration("threads is 0; it must be at least 1".into()));
    }
    let threads = threads.unwrap_or_else(rayon::current_num_threads).min(paths.len());
    let (next, failed, bytes) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX), AtomicU64::new(0));
    let mut parts = std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..threads {
            let (sender, next, failed, bytes) = (sender.clone(), &next, &failed, &bytes);
            let work = move || {
                loop {
                    let file = next.fetch_add(1, Ordering::Relaxed);
                    // Files before the one that failed first still decide which one that is.
                    let is_needed =
                        || !stop.load(Ordering::Relaxed) && file <= failed.load(Ordering::Relaxed);
                    let Some(path) = paths.get(file).filter(|_| is_needed()) else { break };
                    let part = Part::read(file, path, skip_bad, bytes, &is_needed);
                    if part.fault.is_some() {
                        failed.fetch_min(file, Ordering::Relaxed);
                    }
                    if sender.send((file, part)).is_err() {
                        break;
                    }
                }
            };
            std::thread::Builder::new().spawn_scoped(scope, work).map_err(|error| {
                failed.store(0, Ordering::Relaxed);
                Error::Configuration(format!("can't start {threads} threads: {error}"))
            })?;
        }
        drop(sender);
        let mut parts = Vec::new();
        loop {
            match receiver.recv_timeout(INTERVAL) {
                Ok(part) => parts.push(part),
                Err(RecvTimeoutError::Timeout) => {
                    progress(ReadProgress { bytes: bytes.load(Ordering::Relaxed) });
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        progress(ReadProgress { bytes: bytes.load(Ordering::Relaxed) });
        Ok(parts)
    })?;
    let mut all = DesignRecords { stopped: stop.load(Ordering::Relaxed), ..DesignRecords::default() };
    if all.stopped {
        return Ok(all);
    }
    parts.sort_unstable_by_key(|&(file, _)| file);
    if let Some((file, fault)) = parts.iter().find_map(|(file, part)| Some((*file, part.fault.as_ref()?))) {
        return Err(Error::Data(format!("{}{fault}", paths[file].display())));
    }
    let designs = parts.iter().map(|(_, part)| part.infeasible.len()).sum();
    all.floats.iter_mut().for_each(|column| column.reserve_exact(designs));
    all.infeasible.reserve_exact(designs);
    for (_, part) in parts {
        for (column, more) in all.floats.iter_mut().zip(part.floats) {
            column.extend(more);
        }
        all.rows.push(part.infeasible.len());
        all.infeasible.extend(part.infeasible);
        all.bad.extend(part.bad);
        all.ignored.extend(part.ignored.iter().map(|name| shown(name)));
    }
    Ok(all)
}

/// What one file holds.
#[derive(Default)]
struct Part {
    floats: [Vec<f32>; FLOATS],
    infeasible: Vec<bool>,
    bad: Vec<BadRecords>,
    ignored: BTreeSet<Vec<u8>>,
    /// Where it is, and what, if it ends the reading.
    fault: Option<String>,
}

impl Part {
    fn read(
        file: usize,
        path: &Path,
        skip_bad: bool,
        bytes: &AtomicU64,
        is_needed: &dyn Fn() -> bool,
    ) -> Self {
        let mut part = Self::default();
        let source = match File::open(path) {
            Ok(source) => Metered { source, bytes, is_needed },
            Err(error) => {
                let fault = Fault::new("the file can't be opened", error.to_string(), "name a file to read");
                part.note(file, (0, 0), "", fault, skip_bad);
                return part;
            }
        };
        let mut records = match Records::new(source) {
            Ok(records) => records,
            Err(fault) => {
                part.note(file, (0, 0), "", fault, skip_bad);
                return part;
            }
        };
        let unpacked = if records.compression() == Compression::Plain { "" } else { " once unpacked" };
        loop {
            let (place, fault) = match records.next() {
                Ok(None) => return part,
                Ok(Some(record)) => {
                    let place = (record.number, record.offset);
                    match record.payload.and_then(|payload| part.add(payload)) {
                        Ok(()) => continue,
                        Err(fault) => (place, fault),
                    }
                }
                Err(fault) => {
                    part.note(file, (records.number(), records.offset()), unpacked, fault, skip_bad);
                    return part;
                }
            };
            part.note(file, place, unpacked, fault, skip_bad);
            if !skip_bad {
                return part;
            }
        }
    }

    /// Takes in the design of a record.
    fn add(&mut self, payload: &[u8]) -> std::result::Result<(), Fault> {
        let mut found = [None; FEATURES.len()];
        decode(payload, |name, feature| match slot(name) {
            Some(slot) => found[slot] = Some(feature),
            None => self.ignore(name),
        })
        .map_err(|problem| {
            let right = "a record is a serialized tf.train.Example";
            Fault::new("the payload is no tf.train.Example", problem, right)
        })?;
        let infeasible = value(&found, INFEASIBLE, Kind::Int64, Feature::int64)?;
        let infeasible = match infeasible {
            0 => false,
            1 => true,
            other => {
                let right = "0 marks a feasible design, 1 an infeasible one";
                return Err(Fault::new("`infeasible` is neither 0 nor 1", other.to_string(), right));
            }
        };
        let mut row = [f32::NAN; FLOATS];
        for (position, number) in row.iter_mut().enumerate() {
            let read = value(&found, position, Kind::Float, Feature::float)?;
            if position == RUNTIME && infeasible {
                continue;
            }
            if !read.is_finite() {
                let right = "a design's figures are finite numbers";
                let problem = format!("`{}` is not finite", FEATURES[position]);
                return Err(Fault::new(problem, read.to_string(), right));
            }
            *number = read;
        }
        for (column, number) in self.floats.iter_mut().zip(row) {
            column.push(number);
        }
        self.infeasible.push(infeasible);
        Ok(())
    }

    fn ignore(&mut self, name: &[u8]) {
        let name = &name[..name.len().min(LONGEST + 1)];
        if self.ignored.len() < SHOWN && !self.ignored.contains(name) {
            self.ignored.insert(name.to_vec());
        }
    }

    /// Counts a bad record, or notes what ends the reading; `place` is its number and offset.
    fn note(&mut self, file: usize, place: (u64, u64), unpacked: &str, fault: Fault, skip_bad: bool) {
        let (number, offset) = place;
        if !skip_bad {
            self.fault = Some(match number {
                0 => format!(": {fault}"),
                _ => format!(", record {number} at byte {offset}{unpacked}: {fault}"),
            });
            return;
        }
        let known = self.bad.iter_mut().find(|bad| bad.problem == fault.problem);
        if let Some(bad) = known {
            bad.count += 1;
            if bad.examples.len() < SHOWN {
                bad.examples.push((number, offset, fault.found));
            }
        } else {
            let examples = vec![(number, offset, fault.found)];
            self.bad.push(BadRecords { file, problem: fault.problem, count: 1, examples });
        }
    }
}

/// Position of a feature in [`FEATURES`].
fn slot(name: &[u8]) -> Option<usize> {
    match name {
        b"runtime" => Some(RUNTIME),
        b"area" => Some(RUNTIME + 1),
        b"infeasible" => Some(INFEASIBLE),
        b"param_10" => Some(9),
        [b'p', b'a', b'r', b'a', b'm', b'_', digit @ b'1'..=b'9'] => Some(usize::from(digit - b'1')),
        _ => None,
    }
}

/// The only value of a feature that must be there.
fn value<T>(
    found: &[Option<Feature>; FEATURES.len()],
    position: usize,
    kind: Kind,
    only: impl Fn(Feature) -> Option<T>,
) -> std::result::Result<T, Fault> {
    const RIGHT: &str = "a record needs param_1 to param_10, runtime and area as float lists of length 1, \
                         infeasible as an int64 list of length 1";
    let name = FEATURES[position];
    let Some(feature) = found[position] else {
        let there = FEATURES.iter().zip(found).filter(|(_, feature)| feature.is_some());
        let there: Vec<&str> = there.map(|(&name, _)| name).collect();
        let there = if there.is_empty() { "none of its features".into() } else { there.join(", ") };
        return Err(Fault::new(format!("a record lacks `{name}`"), there, RIGHT));
    };
    only(feature).ok_or_else(|| match feature.kind {
        Some(other) if other != kind => {
            Fault::new(format!("`{name}` is not {}", kind.name()), other.name(), RIGHT)
        }
        _ => {
            Fault::new(format!("`{name}` is no list of length 1"), format!("length {}", feature.count), RIGHT)
        }
    })
}

/// A file that counts what is read of it, and ends with an error when it is no longer needed.
struct Metered<'a> {
    source: File,
    bytes: &'a AtomicU64,
    is_needed: &'a dyn Fn() -> bool,
}

impl Read for Metered<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !(self.is_needed)() {
            return Err(io::Error::other("stopped"));
        }
        let read = self.source.read(into)?;
        self.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
