//! Seeds in the tests: some dozens twice, every regression, every planted bug.

use sim::{Bug, Case, Class, Faults, Report, regressions, run, shrink};

fn passes(seed: u64) -> Report {
    passes_case(&Case::new(seed, None))
}

fn passes_case(case: &Case) -> Report {
    let report = run(case);
    let violation = &report.violation;
    assert!(violation.is_none(), "seed {case}: {violation:?}\n{}", report.table);
    report
}

#[test]
fn some_dozens_of_seeds_pass_and_repeat_themselves() {
    for seed in 0..48 {
        let (one, other) = (passes(seed), passes(seed));
        assert_eq!(one.trace, other.trace, "seed {seed} went two ways");
        assert_eq!(one.acknowledged, other.acknowledged);
    }
}

#[test]
fn seeds_differ_and_do_something() {
    let reports: Vec<Report> = (100..108).map(passes).collect();
    for (at, report) in reports.iter().enumerate() {
        assert!(report.acknowledged > 10, "seed {}: {report:?}", report.case);
        assert!(reports[..at].iter().all(|other| other.trace != report.trace));
    }
    assert!(reports.iter().any(|report| report.faults.total() > 5));
}

#[test]
fn every_fault_strikes() {
    let mut sum = Faults::default();
    for seed in 200..300 {
        sum.add(&passes(seed).faults);
    }
    let habits = ["duplicates", "other-bodies", "keys", "reads", "boundaries"];
    for class in Class::ALL.iter().filter(|class| !habits.contains(&class.name())) {
        assert!(sum.times(*class) > 0, "{} never strikes", class.name());
    }
    for what in [
        "journals shortened",
        "rot found by scrubbing",
        "second leaders that took over",
        "settlement of one of two leaders stopped",
        "starts refused for something misplaced",
        "cuts put off after a slow commit",
    ] {
        assert!(sum.seen(what) > 0, "{what}: never seen");
    }
}

#[test]
fn every_regression_passes() {
    for (case, why) in regressions().unwrap() {
        assert!(!why.is_empty());
        passes_case(&case);
    }
}

#[test]
fn every_planted_bug_is_found() {
    for &bug in Bug::ALL {
        let found = (0..400).any(|seed| run(&Case::new(seed, Some(bug))).violation.is_some());
        assert!(found, "{} is not found in 400 seeds", bug.name());
    }
}

#[test]
fn a_failing_case_becomes_a_small_one_that_fails_alike() {
    let fails = |seed| run(&Case::new(seed, Some(Bug::BatchNumber))).violation;
    let (seed, violation) = (0..50).find_map(|seed| Some((seed, fails(seed)?))).unwrap();
    let case = Case::new(seed, Some(Bug::BatchNumber));
    let (least, report) = shrink(&case).unwrap();
    assert_eq!(report.violation.unwrap().rule, violation.rule);
    assert!(least.off.len() > 15, "{least} still has most classes");
    assert!(least.steps.is_some_and(|steps| steps < 300), "{least} takes long");
    let again: Case = least.to_string().parse().unwrap();
    let again = run(&Case { bug: least.bug, ..again });
    assert_eq!(again.trace, report.trace, "its text repeats it");
}
