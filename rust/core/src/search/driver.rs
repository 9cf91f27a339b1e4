//! The loop of ask, score and tell, with its limits and its record.

use std::time::{Duration, Instant};

use super::session::Session;
use super::track::Improvement;
use super::{Domain, Found, Interrupt, Optimizer, Scored};
use crate::{Error, Infeasible, Result};

/// Scores designs in batches: a simulator, a surrogate, a call into Python.
pub trait Scorer {
    /// What scoring can fail with; it passes through [`minimize`] as it is.
    type Error: From<Error>;

    /// Writes the score and violation of each of the `n` designs in `ranks`, row by row; where the optimiser
    /// has several [columns](Optimizer::columns), a score is a row of as many numbers.
    ///
    /// Scores come as NaN and violations as 0, so that a design that is left out is an error.
    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> std::result::Result<(), Self::Error>;
}

impl<F, E> Scorer for F
where
    F: FnMut(&[u16], usize, &mut [f64], &mut [f64]) -> std::result::Result<(), E>,
    E: From<Error>,
{
    type Error = E;

    fn score(
        &mut self,
        ranks: &[u16],
        n: usize,
        scores: &mut [f64],
        violations: &mut [f64],
    ) -> std::result::Result<(), E> {
        self(ranks, n, scores, violations)
    }
}

/// A batch that takes longer to make is given up where the run is to end.
const LONG: Duration = Duration::from_millis(250);

/// When a run ends, and how it calls the scorer.
#[derive(Debug, Clone)]
pub struct Options {
    /// Designs to score at most, those of the session so far included.
    pub evaluations: usize,
    /// Designs a call of the scorer; the last batch may be smaller, as may those of a space nearly exhausted.
    pub batch: usize,
    /// How many of the best designs [`minimize`] reports.
    pub keep: usize,
    /// End once a feasible design scores no more than this.
    pub target: Option<f64>,
    /// End after the batch during which this much time has passed; one that takes long to make is given up.
    pub seconds: Option<f64>,
    /// End after the batch by which this many designs have been scored since the last better one.
    pub stagnation: Option<usize>,
    /// Make the next batch while one is scored, where the optimiser can: its designs then follow from the
    /// scores of the batch before.
    pub overlap: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            evaluations: 50_000,
            batch: 4096,
            keep: 16,
            target: None,
            seconds: None,
            stagnation: None,
            overlap: false,
        }
    }
}

impl Options {
    fn check(&self, columns: usize) -> Result<()> {
        let stagnation = self.stagnation.unwrap_or(1);
        for (name, value) in
            [("evaluations", self.evaluations), ("batch", self.batch), ("stagnation", stagnation)]
        {
            if value == 0 {
                return Err(Error::Configuration(format!("{name} is 0; it must be at least 1")));
            }
        }
        if self.target.is_some_and(f64::is_nan) {
            return Err(Error::Configuration("the target is NaN; it must be a number".into()));
        }
        if let Some(seconds) = self.seconds
            && (seconds.is_nan() || seconds <= 0.0)
        {
            return Err(Error::Configuration(format!("seconds is {seconds}; it must be a positive number")));
        }
        if columns > 1 && (self.target.is_some() || self.stagnation.is_some()) {
            return Err(Error::Configuration(
                "a target or stagnation was given with several objectives; they are for a single one".into(),
            ));
        }
        Ok(())
    }
}

/// Where a run stands after a batch.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Designs scored so far.
    pub evaluations: usize,
    /// Score of the best feasible design so far.
    pub best: Option<f64>,
    /// Time since the start.
    pub seconds: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As many designs were scored as the options allow.
    Evaluations,
    /// The optimiser found no further design that meets what is known of the constraints.
    Exhausted,
    /// An interrupt was due.
    Interrupted,
    /// A feasible design reached the target.
    Target,
    /// The time was over.
    Time,
    /// No better design had come for long enough.
    Stagnation,
    /// No design meets the known constraints and limits: there was nothing to score.
    Infeasible,
}

impl Stop {
    /// The reason in one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Evaluations => "evaluations",
            Self::Exhausted => "exhausted",
            Self::Interrupted => "interrupt",
            Self::Target => "target",
            Self::Time => "time",
            Self::Stagnation => "stagnation",
            Self::Infeasible => "infeasible",
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The best distinct designs by violation, score and index; the first has a violation above 0 when no
    /// feasible design was found. Of several objectives the first counts.
    pub best: Vec<Scored>,
    /// The optimiser's answer: a Pareto front, the elites of an archive, or the best design.
    pub found: Vec<Found>,
    /// Designs scored.
    pub evaluations: usize,
    /// The feasible designs that were the best when they were scored.
    pub history: Vec<Improvement>,
    /// Why the run ended.
    pub stop: Stop,
    /// What stands in the way, where nothing is feasible.
    pub note: Option<String>,
    /// Time spent in the scorer.
    pub scoring_seconds: f64,
    /// Time of the whole run.
    pub seconds: f64,
}

/// A run of a session, a batch a step.
#[derive(Debug)]
pub struct Run {
    options: Options,
    start: Instant,
    scoring: Duration,
    /// The design that misses the known constraints by least, and the sentence on it.
    nearest: Option<Infeasible>,
    scores: Vec<f64>,
    violations: Vec<f64>,
    /// Ranks of the designs to score, without those known.
    unknown: Vec<u16>,
    next: Vec<u16>,
}

impl Run {
    /// A run of `session` that has made no step.
    pub fn new<D: Domain + Send, O: Optimizer>(
        session: &mut Session<D, O>,
        options: &Options,
    ) -> Result<Self> {
        options.check(session.columns())?;
        let overlap = options.overlap && session.ask_ahead();
        Ok(Self {
            options: Options { overlap, ..options.clone() },
            start: Instant::now(),
            scoring: Duration::ZERO,
            nearest: None,
            scores: Vec::new(),
            violations: Vec::new(),
            unknown: Vec::new(),
            next: Vec::new(),
        })
    }

    /// Scores one batch; says why the run is over once it is.
    ///
    /// Once `interrupt` is due, an error of the scorer ends the run; any other leaves the batch due, to be scored by
    /// the next step.
    pub fn step<D: Domain + Send, O: Optimizer, S: Scorer + ?Sized>(
        &mut self,
        session: &mut Session<D, O>,
        scorer: &mut S,
        interrupt: &Interrupt,
    ) -> std::result::Result<Option<Stop>, S::Error> {
        if let Some(reason) = self.over(session, interrupt) {
            return Ok(Some(reason));
        }
        let left = self.options.evaluations - session.evaluations();
        if session.due().is_none() {
            let until = self.until(interrupt, session.evaluations());
            match session.ask_until(self.options.batch.min(left), &mut self.next, &until) {
                _ if until.is_due() => return Ok(self.over(session, interrupt).or(Some(Stop::Interrupted))),
                Ok(0) => return Ok(Some(Stop::Exhausted)),
                Err(Error::NoFeasibleDesign(infeasible)) if session.evaluations() == 0 => {
                    self.nearest = Some(infeasible);
                    return Ok(Some(Stop::Infeasible));
                }
                asked => asked?,
            };
        }
        let (width, columns) = (session.domain().cardinalities().len(), session.columns());
        let batch = session.due().unwrap_or_default().to_vec();
        let n = batch.len() / width;
        self.scores.clear();
        self.scores.resize(n * columns, f64::NAN);
        self.violations.clear();
        self.violations.resize(n, 0.0);
        self.unknown.clear();
        // Rows to score, where some are known.
        let mut rows = session.knows_some().then(Vec::new);
        if let Some(rows) = &mut rows {
            for (row, ranks) in batch.chunks_exact(width).enumerate() {
                if let Some((scores, violation)) = session.known(ranks) {
                    self.scores[row * columns..][..columns].copy_from_slice(scores);
                    self.violations[row] = violation;
                } else {
                    rows.push(row);
                    self.unknown.extend_from_slice(ranks);
                }
            }
        }
        let rows = rows.filter(|rows| rows.len() < n);
        let ahead = self.options.batch.min(left.saturating_sub(rows.as_ref().map_or(n, Vec::len)));
        let overlap = self.options.overlap && ahead > 0 && session.batches_due() == 1;
        let until = self.until(interrupt, session.evaluations());
        let mut scored = Ok(());
        let mut asked = Ok(0);
        let mut score = || {
            let before = Instant::now();
            scored = match &rows {
                None => scorer.score(&batch, n, &mut self.scores, &mut self.violations),
                Some(rows) if rows.is_empty() => Ok(()),
                Some(rows) => {
                    let mut scores = vec![f64::NAN; rows.len() * columns];
                    let mut violations = vec![0.0; rows.len()];
                    let scored = scorer.score(&self.unknown, rows.len(), &mut scores, &mut violations);
                    for (from, &row) in rows.iter().enumerate() {
                        self.scores[row * columns..][..columns]
                            .copy_from_slice(&scores[from * columns..][..columns]);
                        self.violations[row] = violations[from];
                    }
                    scored
                }
            };
            self.scoring += before.elapsed();
        };
        if overlap {
            // The scorer stays on this thread, where Python takes its signals.
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| asked = session.ask_until(ahead, &mut self.next, &until));
                score();
            });
        } else {
            score();
        }
        if let Err(error) = scored {
            // A scorer that gives up because it was told to stop has not failed.
            return if interrupt.is_due() { Ok(Some(Stop::Interrupted)) } else { Err(error) };
        }
        let is_over = until.is_due();
        if !is_over {
            asked?;
        }
        session.tell(&self.scores, &self.violations)?;
        Ok(if is_over { self.over(session, interrupt).or(Some(Stop::Interrupted)) } else { None })
    }

    fn over<D: Domain + Send, O: Optimizer>(
        &self,
        session: &Session<D, O>,
        interrupt: &Interrupt,
    ) -> Option<Stop> {
        let (options, evaluations) = (&self.options, session.evaluations());
        let last = session.history().last();
        let since = |at: usize| options.stagnation.is_some_and(|most| evaluations - at >= most);
        if last.zip(options.target).is_some_and(|(best, target)| best.score <= target) {
            Some(Stop::Target)
        } else if evaluations >= options.evaluations {
            Some(Stop::Evaluations)
        } else if interrupt.is_due() {
            Some(Stop::Interrupted)
        } else if options.seconds.is_some_and(|most| self.start.elapsed().as_secs_f64() >= most) {
            Some(Stop::Time)
        } else if since(last.map_or(0, |best| best.evaluations)) {
            Some(Stop::Stagnation)
        } else {
            None
        }
    }

    /// What ends the making of a batch: an interrupt or, once there is something to report, the end of the time, where
    /// it takes long. What is cut short takes a search as long again to go on from, so that few are to be.
    fn until(&self, interrupt: &Interrupt, evaluations: usize) -> Interrupt {
        let (start, seconds) = (self.start, self.options.seconds.filter(|_| evaluations > 0));
        let interrupt = interrupt.clone();
        let is_over = move || seconds.is_some_and(|most| start.elapsed().as_secs_f64() >= most);
        Interrupt::new(move || interrupt.is_due() || is_over()).after(LONG)
    }

    /// Where the run stands.
    pub fn progress<D: Domain + Send, O: Optimizer>(&self, session: &Session<D, O>) -> Progress {
        Progress {
            evaluations: session.evaluations(),
            best: session.history().last().map(|best| best.score),
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }

    /// What the run has come to.
    pub fn outcome<D: Domain + Send, O: Optimizer>(&self, session: &Session<D, O>, stop: Stop) -> Outcome {
        let mut best = session.ranking();
        if let Some(Infeasible { nearest: Some((ranks, violation)), .. }) = &self.nearest {
            let index = session.domain().index_of(ranks);
            best = vec![Scored { index, ranks: ranks.clone(), score: f64::NAN, violation: *violation }];
        }
        Outcome {
            best,
            found: session.found(),
            evaluations: session.evaluations(),
            history: session.history().to_vec(),
            stop,
            note: self.nearest.as_ref().map(|infeasible| infeasible.message.clone()),
            scoring_seconds: self.scoring.as_secs_f64(),
            seconds: self.start.elapsed().as_secs_f64(),
        }
    }
}

/// Runs `optimizer` against `scorer` until a limit is met, the space is exhausted or `interrupt` is due.
///
/// An interrupt ends the making of a batch that takes long, not a call of the scorer, whose error then ends the run with what was
/// found; designs that were made but not scored by then stay due. `progress` is called between batches. `domain` is the space that the optimiser searches.
pub fn minimize<D: Domain, S: Scorer + ?Sized>(
    domain: &D,
    optimizer: &mut dyn Optimizer,
    scorer: &mut S,
    options: &Options,
    interrupt: &Interrupt,
    progress: &mut dyn FnMut(Progress),
) -> std::result::Result<Outcome, S::Error> {
    let mut session = Session::new(domain, optimizer, options.keep, false)?;
    let mut run = Run::new(&mut session, options)?;
    loop {
        if let Some(reason) = run.step(&mut session, scorer, interrupt)? {
            return Ok(run.outcome(&session, reason));
        }
        progress(run.progress(&session));
    }
}
