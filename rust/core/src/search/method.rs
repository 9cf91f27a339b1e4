//! The optimisers by name, with options by name.

use super::optimizers::{
    Annealing, AnnealingOptions, DifferentialEvolution, DifferentialEvolutionOptions, Firefly,
    FireflyOptions, Genetic, GeneticOptions, LocalSearch, LocalSearchOptions, MeasureRange, Nsga2,
    Nsga2Options, QualityDiversity, QualityDiversityOptions, Random,
};
use super::{Domain, Optimizer};
use crate::suggest::did_you_mean;
use crate::{Error, Result};

/// What an optimiser needs to know beside the space.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The same seed gives the same search.
    pub seed: u64,
    /// Number of objectives; 1 but for `nsga2`.
    pub objectives: usize,
    /// The two measures of `quality_diversity`; none for others.
    pub measures: Vec<MeasureRange>,
    /// The method's own options.
    pub options: Vec<(String, f64)>,
}

/// Names of the methods.
pub const METHODS: [&str; 8] = [
    "genetic",
    "firefly",
    "local_search",
    "annealing",
    "differential_evolution",
    "random",
    "nsga2",
    "quality_diversity",
];

/// An optimiser of `domain` by the name of its method.
pub fn optimizer_named<'a, D>(method: &str, domain: D, setup: &Setup) -> Result<Box<dyn Optimizer + 'a>>
where
    D: Domain + Send + 'a,
{
    let seed = setup.seed;
    let mut given = Given { method, setup, known: Vec::new() };
    let optimizer: Box<dyn Optimizer + 'a> = match method {
        "genetic" => {
            let default = GeneticOptions::default();
            let population = given.count("population", default.population)?;
            let islands = given.count("islands", default.islands)?;
            given.end()?;
            Box::new(Genetic::new(domain, GeneticOptions { population, islands, seed })?)
        }
        "firefly" => {
            let default = FireflyOptions::default();
            let options = FireflyOptions {
                flies: given.optional_count("flies")?,
                gravity: given.number("gravity", default.gravity),
                perturbation: given.number("perturbation", default.perturbation),
                penalty: given.number("penalty", default.penalty),
                seed,
            };
            given.end()?;
            Box::new(Firefly::new(domain, options)?)
        }
        "local_search" => {
            let default = LocalSearchOptions::default();
            let options = LocalSearchOptions {
                walkers: given.count("walkers", default.walkers)?,
                kick: given.count("kick", default.kick)?,
                samples: given.count("samples", default.samples)?,
                patience: given.count("patience", default.patience)?,
                seed,
            };
            given.end()?;
            Box::new(LocalSearch::new(domain, options)?)
        }
        "annealing" => {
            let default = AnnealingOptions::default();
            let chains = given.count("chains", default.chains)?;
            let cycle = given.count("cycle", default.cycle)?;
            given.end()?;
            Box::new(Annealing::new(domain, AnnealingOptions { chains, cycle, seed })?)
        }
        "differential_evolution" => {
            let default = DifferentialEvolutionOptions::default();
            let population = given.count("population", default.population)?;
            let patience = given.count("patience", default.patience)?;
            given.end()?;
            let options = DifferentialEvolutionOptions { population, patience, seed };
            Box::new(DifferentialEvolution::new(domain, options)?)
        }
        "random" => {
            given.end()?;
            Box::new(Random::new(domain, seed)?)
        }
        "nsga2" => {
            let population = given.count("population", Nsga2Options::default().population)?;
            given.end()?;
            Box::new(Nsga2::new(domain, Nsga2Options { population, seed, objectives: setup.objectives })?)
        }
        "quality_diversity" => {
            given.end()?;
            let Ok(measures) = <[MeasureRange; 2]>::try_from(setup.measures.clone()) else {
                return Err(Error::Configuration(format!(
                    "{} measures were given; method `quality_diversity` takes 2",
                    setup.measures.len()
                )));
            };
            Box::new(QualityDiversity::new(domain, QualityDiversityOptions { seed, measures })?)
        }
        _ => {
            return Err(Error::Configuration(format!(
                "unknown method `{method}`{}; known: {}",
                did_you_mean(method, METHODS),
                METHODS.join(", ")
            )));
        }
    };
    Ok(optimizer)
}

/// The options given to a method, and those it asked for.
struct Given<'a> {
    method: &'a str,
    setup: &'a Setup,
    known: Vec<&'static str>,
}

impl Given<'_> {
    fn find(&mut self, name: &'static str) -> Option<f64> {
        self.known.push(name);
        self.setup.options.iter().find(|(given, _)| given == name).map(|(_, value)| *value)
    }

    fn number(&mut self, name: &'static str, default: f64) -> f64 {
        self.find(name).unwrap_or(default)
    }

    fn optional_count(&mut self, name: &'static str) -> Result<Option<usize>> {
        let Some(value) = self.find(name) else { return Ok(None) };
        if value >= 1.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX) {
            return Ok(Some(value as usize));
        }
        let wanted = if value < 1.0 { "at least 1" } else { "a whole number" };
        Err(Error::Configuration(format!("{name} is {value}; it must be {wanted}")))
    }

    fn count(&mut self, name: &'static str, default: usize) -> Result<usize> {
        Ok(self.optional_count(name)?.unwrap_or(default))
    }

    /// Errs when something was given that the method does not take.
    fn end(&self) -> Result<()> {
        let Setup { objectives, measures, options, .. } = self.setup;
        if *objectives != 1 && self.method != "nsga2" {
            return Err(Error::Configuration(format!(
                "{objectives} objectives were given; method `{}` takes 1",
                self.method
            )));
        }
        if !measures.is_empty() && self.method != "quality_diversity" {
            return Err(Error::Configuration(format!(
                "{} measures were given; method `{}` takes none",
                measures.len(),
                self.method
            )));
        }
        let odd = options.iter().find(|(name, _)| !self.known.contains(&name.as_str()));
        let Some((odd, _)) = odd else { return Ok(()) };
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Error::Configuration(format!(
            "method `{}` has no option `{odd}`{}; known: {known}",
            self.method,
            did_you_mean(odd, self.known.iter().copied())
        )))
    }
}
