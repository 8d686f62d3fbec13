//! The shrinker: from a run that breaks a rule to the smallest one found that breaks the same rule.
//!
//! It only ever tries whole runs and knows nothing of why one fails. Invariant: what it returns was
//! run, and broke that rule.

use crate::case::Case;
use crate::class::Class;
use crate::{Report, run};

/// Leaves out classes, then late steps, early faults and wishes of clients, until nothing more can
/// be left out. `None` if the case does not fail.
#[must_use]
pub fn shrink(case: &Case) -> Option<(Case, Report)> {
    let report = run(case);
    let rule = report.violation.as_ref()?.rule;
    let mut least = Least { case: case.clone(), report, rule };
    loop {
        let before = least.case.clone();
        least.leave_out_classes();
        let steps = least.report.faulty_steps;
        least.lowest(steps, |case, steps| case.steps = Some(steps));
        let intents = least.report.intents;
        least.lowest(intents, |case, intents| case.intents = Some(intents));
        let steps = least.case.steps.unwrap_or(least.report.faulty_steps);
        // The later faults begin the better: what is searched is how many steps have them.
        least.lowest(steps, |case, left| case.from = Some(steps - left));
        if least.case == before {
            return Some((least.case, least.report));
        }
    }
}

struct Least {
    case: Case,
    report: Report,
    rule: &'static str,
}

impl Least {
    fn try_case(&mut self, case: Case) -> bool {
        if case == self.case {
            return true;
        }
        let report = run(&case);
        let fails = report.violation.as_ref().is_some_and(|found| found.rule == self.rule);
        if fails {
            (self.case, self.report) = (case, report);
        }
        fails
    }

    fn leave_out_classes(&mut self) {
        // Those that never struck go together, if that changes nothing.
        let mut quiet = self.case.clone();
        quiet.off.extend(Class::ALL.iter().filter(|&&class| self.report.faults.times(class) == 0));
        self.try_case(quiet);
        for &class in Class::ALL {
            let mut without = self.case.clone();
            if without.off.insert(class) {
                self.try_case(without);
            }
        }
    }

    /// Looks for the lowest number at which the run still fails. Failing need not be monotone in
    /// it: what is found is a place where one less passes.
    fn lowest(&mut self, most: u64, set: impl Fn(&mut Case, u64)) {
        let (mut passes, mut fails) = (0, most);
        while fails > passes + 1 {
            let middle = passes.midpoint(fails);
            let mut less = self.case.clone();
            set(&mut less, middle);
            if self.try_case(less) {
                fails = middle;
            } else {
                passes = middle;
            }
        }
    }
}
