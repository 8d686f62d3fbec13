//! What a database is found to be before anything is settled to it, for whoever runs it. Judged
//! where SQL is known, shown by the caller. Invariant: nothing is written.

/// How a database stands in one respect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fitness {
    /// As it should be.
    Fit,
    /// Settlement works, and something will be missed one day.
    Doubtful,
    /// Settlement refuses it, or cannot work.
    Unfit,
}

/// One respect, what was found, and how to mend it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trait {
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub fitness: Fitness,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when it is fit.
    pub cure: String,
}

impl Trait {
    pub(crate) fn fit(subject: &'static str, found: impl Into<String>) -> Self {
        Self { subject, fitness: Fitness::Fit, found: found.into(), cure: String::new() }
    }

    pub(crate) fn doubtful(
        subject: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { subject, fitness: Fitness::Doubtful, found: found.into(), cure: cure.into() }
    }

    pub(crate) fn unfit(
        subject: &'static str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { subject, fitness: Fitness::Unfit, found: found.into(), cure: cure.into() }
    }
}
