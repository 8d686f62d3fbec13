//! Seeds in the tests: some dozens twice, every regression, every planted bug.

use sim::{Bug, Report, run};

fn passes(seed: u64) -> Report {
    let report = run(seed, None);
    let violation = &report.violation;
    assert!(violation.is_none(), "seed {seed}: {violation:?}\nswitches:\n{}", report.switches);
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
        assert!(report.acknowledged > 10, "seed {}: {report:?}", report.seed);
        assert!(reports[..at].iter().all(|other| other.trace != report.trace));
    }
    assert!(reports.iter().any(|report| report.faults.total() > 5));
}

#[test]
fn every_regression_passes() {
    let lines = include_str!("../regressions.txt").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (seed, why) = line.split_once(' ').unwrap();
        assert!(!why.is_empty());
        passes(seed.parse().unwrap());
    }
}

#[test]
fn every_planted_bug_is_found() {
    for &bug in Bug::ALL {
        let found = (0..200).any(|seed| run(seed, Some(bug)).violation.is_some());
        assert!(found, "{} is not found in 200 seeds", bug.name());
    }
}
