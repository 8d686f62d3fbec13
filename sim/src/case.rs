//! What a run is: a seed, and what is left out of it. Its text is a line of the regressions and the
//! arguments of the command that repeats it.
//!
//! Invariant: the same case gives the same run for as long as the generator and the order of its
//! draws stay as they are.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::bug::Bug;
use crate::class::Class;

/// A run to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Where every choice comes from.
    pub seed: u64,
    /// Classes that never strike.
    pub off: BTreeSet<Class>,
    /// No fault before this step.
    pub from: Option<u64>,
    /// Steps of the phase with faults; the seed's own number if it is lower.
    pub steps: Option<u64>,
    /// What clients may want in all.
    pub intents: Option<u64>,
    /// The planted bug.
    pub bug: Option<Bug>,
}

impl Case {
    /// A seed with everything.
    #[must_use]
    pub fn new(seed: u64, bug: Option<Bug>) -> Self {
        Self { seed, bug, ..Self::default() }
    }

    /// The arguments that repeat it.
    #[must_use]
    pub fn arguments(&self) -> String {
        let bug = self.bug.map(|bug| format!(" --bug {}", bug.name())).unwrap_or_default();
        let text = self.to_string();
        let case = if text.contains(' ') { format!("'{text}'") } else { text };
        format!("--seed {case}{bug}")
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seed)?;
        if !self.off.is_empty() {
            let names: Vec<_> = self.off.iter().map(|class| class.name()).collect();
            write!(f, " off={}", names.join(","))?;
        }
        for (name, value) in [("from", self.from), ("steps", self.steps), ("intents", self.intents)]
        {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        let mut case = Self::new(number(words.next().ok_or("a seed comes first")?)?, None);
        for word in words {
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("{word} is no switch"))?;
            match name {
                "off" => {
                    for name in value.split(',') {
                        case.off.insert(class(name)?);
                    }
                }
                "from" => case.from = Some(number(value)?),
                "steps" => case.steps = Some(number(value)?),
                "intents" => case.intents = Some(number(value)?),
                _ => {
                    return Err(format!(
                        "{name} is no switch; there are off, from, steps, intents"
                    ));
                }
            }
        }
        Ok(case)
    }
}

fn class(name: &str) -> Result<Class, String> {
    let found = Class::ALL.iter().copied().find(|class| class.name() == name);
    found.ok_or_else(|| {
        let names: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        format!("no class {name}; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read_back_from_its_text() {
        let text = "872 off=kill,rot from=3 steps=40 intents=12";
        let case: Case = text.parse().unwrap();
        assert_eq!(case.to_string(), text);
        assert_eq!(case.arguments(), format!("--seed '{text}'"));
        assert_eq!("7".parse::<Case>().unwrap(), Case::new(7, None));
        for wrong in ["", "x", "1 off=none", "1 steps", "1 hops=2"] {
            assert!(wrong.parse::<Case>().is_err(), "{wrong}");
        }
    }
}
