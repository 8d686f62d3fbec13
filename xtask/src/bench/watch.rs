//! What the threads of a frame do during a load: the counters of its stages, read from the admin
//! door ten times a second, and the processor time of its threads, as the kernel counts it.
//!
//! It asks the frame for nothing else. Invariant: a share is of time between two looks that both
//! lie inside the load, so that opening accounts and comparing books count for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::loads::find;
use crate::server::Server;

/// The stages that count how they spend their time.
pub(super) const STAGES: [&str; 3] = ["journal", "sync", "engine"];
/// From one look to the next.
const PAUSE: Duration = Duration::from_millis(100);
/// What the kernel counts a thread's time in: it says so by `USER_HZ`, which is this everywhere.
const TICKS: f64 = 100.0;
/// Less of a core is not told.
const CPU_MIN: f64 = 0.01;

/// Bound of a class of steps in seconds, and how many were no longer.
type Classes = Vec<(f64, u64)>;

/// What one look saw; all but the lag counts up.
#[derive(Clone, Debug, Default)]
struct Look {
    at_ms: f64,
    /// Seconds that each stage worked and waited.
    spent: [(f64, f64); 3],
    steps: [Classes; 3],
    /// Seconds that settlement was behind.
    lag_s: f64,
    /// Processor seconds by thread name.
    threads: BTreeMap<String, f64>,
}

/// Looks at a frame until it is asked what it saw.
pub(super) struct Watch {
    is_over: Arc<AtomicBool>,
    looking: JoinHandle<Vec<Look>>,
}

impl Watch {
    pub(super) fn begin(server: &Server) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, admin, process) = (Arc::clone(&is_over), server.admin.clone(), server.id());
        let looking = std::thread::spawn(move || {
            let mut looks = Vec::new();
            while !over.load(Ordering::Relaxed) {
                looks.extend(look(&admin, process));
                std::thread::sleep(PAUSE);
            }
            looks
        });
        Self { is_over, looking }
    }

    /// What was seen inside the load of a report of the harness; nothing if it was too short.
    pub(super) fn end(self, report: &Value) -> Value {
        self.is_over.store(true, Ordering::Relaxed);
        let looks = self.looking.join().expect("a look does not panic");
        let from_ms = find(report, "/began_ms");
        let until_ms = from_ms + find(report, "/seconds") * 1e3;
        let inside = |look: &&Look| look.at_ms >= from_ms && look.at_ms <= until_ms;
        let (first, last) = (looks.iter().find(inside), looks.iter().rfind(inside));
        let seen = first.zip(last).filter(|(first, last)| first.at_ms < last.at_ms);
        let Some((first, last)) = seen else {
            return Value::Null;
        };
        let mut seen = between(first, last);
        let last_third_ms = last.at_ms - (last.at_ms - first.at_ms) / 3.0;
        let longest_from = |from_ms| {
            let late = looks.iter().filter(inside).filter(|look| look.at_ms >= from_ms);
            late.map(|look| look.lag_s).fold(f64::NAN, f64::max)
        };
        seen["settlement_lag_s"] = json!({
            "longest": longest_from(first.at_ms), "in_the_last_third": longest_from(last_third_ms),
        });
        seen
    }
}

fn look(admin: &str, process: u32) -> Option<Look> {
    let page = metrics(admin).ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let spent = |stage: &str| {
        let of = |what: &str| {
            let name = format!("bezant_stage_{what}_seconds_total{{stage=\"{stage}\"}}");
            number(&page, &name)
        };
        (of("working"), of("waiting"))
    };
    Some(Look {
        at_ms: now.as_secs_f64() * 1e3,
        spent: STAGES.map(spent),
        steps: STAGES.map(|stage| classes(&page, stage)),
        lag_s: number(&page, "bezant_settlement_lag_seconds"),
        threads: threads(process),
    })
}

fn between(first: &Look, last: &Look) -> Value {
    let seconds = (last.at_ms - first.at_ms) / 1e3;
    let mut seen = Map::new();
    seen.insert("seconds".to_owned(), json!(seconds));
    for (at, stage) in STAGES.into_iter().enumerate() {
        let ((worked, waited), (works, waits)) = (first.spent[at], last.spent[at]);
        let share = |spent: f64| spent / seconds;
        let before = |bound: f64| {
            first.steps[at].iter().find(|class| class.0 >= bound).map_or(0, |class| class.1)
        };
        let mut told = 0;
        let mut steps = Vec::new();
        for &(bound, count) in &last.steps[at] {
            let upto = count - before(bound);
            if upto > told {
                let bound = if bound.is_finite() { json!(bound * 1e3) } else { Value::Null };
                steps.push(json!({ "up_to_ms": bound, "count": upto - told }));
            }
            told = upto;
        }
        let of_stage = json!({
            "working": share(works - worked), "waiting": share(waits - waited), "steps": steps,
        });
        seen.insert(stage.to_owned(), of_stage);
    }
    let cores = |(name, cpu): (&String, &f64)| {
        let share = (cpu - first.threads.get(name).unwrap_or(&0.0)) / seconds;
        (share >= CPU_MIN).then(|| (name.clone(), json!(share)))
    };
    seen.insert("cpu".to_owned(), last.threads.iter().filter_map(cores).collect());
    Value::Object(seen)
}

/// `engine 71 % working, 29 % waiting; …; of a core: engine 65 %, gateway 88 %`.
pub(super) fn sentence(seen: &Value) -> Option<String> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let stage = |stage: &str| {
        let of = |what: &str| percent(find(seen, &format!("/{stage}/{what}")));
        format!("{stage} {} working, {} waiting", of("working"), of("waiting"))
    };
    let cpu = seen["cpu"].as_object()?;
    let share = |(name, share): (&String, &Value)| {
        share.as_f64().map(|share| format!("{name} {}", percent(share)))
    };
    let cpu: Vec<String> = cpu.iter().filter_map(share).collect();
    Some(format!("{}; of a core: {}", STAGES.map(stage).join("; "), cpu.join(", ")))
}

/// `5 012 up to 1 ms, 30 up to 2 ms`, and the bound of the longest in milliseconds.
pub(super) fn steps(seen: &Value, stage: &str) -> (String, f64) {
    let classes = seen[stage]["steps"].as_array().map_or(&[][..], Vec::as_slice);
    let bound = |class: &Value| class["up_to_ms"].as_f64().unwrap_or(f64::INFINITY);
    let text = |class: &Value| format!("{} up to {} ms", class["count"], bound(class));
    let texts: Vec<String> = classes.iter().map(text).collect();
    (texts.join(", "), classes.last().map_or(f64::NAN, bound))
}

/// The page that Prometheus would read.
pub(super) fn metrics(admin: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("/metrics at {admin}: {error}");
    let mut stream = TcpStream::connect(admin).map_err(failed)?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut page = String::new();
    stream.read_to_string(&mut page).map_err(failed)?;
    Ok(page)
}

/// The value of a figure on the page.
pub(super) fn number(page: &str, name: &str) -> f64 {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(f64::NAN)
}

/// How many steps of a stage were no longer than each bound.
pub(super) fn classes(page: &str, stage: &str) -> Classes {
    let head = format!("bezant_stage_step_seconds_bucket{{stage=\"{stage}\",le=\"");
    page.lines()
        .filter_map(|line| line.strip_prefix(&head)?.split_once("\"} "))
        .filter_map(|(bound, count)| {
            Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
        })
        .collect()
}

/// Processor seconds of a process by thread name. A thread that has ended counts no more.
pub(super) fn threads(process: u32) -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for stat in tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok()) {
        if let Some((name, seconds)) = time_of(&stat) {
            *threads.entry(name.to_owned()).or_default() += seconds;
        }
    }
    threads
}

/// `12 (engine) S 1 …`: name, and user and system time together.
fn time_of(stat: &str) -> Option<(&str, f64)> {
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    let mut ticks = rest.split(' ').skip(11).map(|word| word.parse::<f64>().ok());
    Some((name, (ticks.next()?? + ticks.next()??) / TICKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKING: &str = "bezant_stage_working_seconds_total{stage=\"engine\"}";
    const PAGE: &str = "bezant_stage_working_seconds_total{stage=\"engine\"} 3000\n\
        bezant_stage_waiting_seconds_total{stage=\"engine\"} 9\n\
        bezant_stage_step_seconds_bucket{stage=\"engine\",le=\"0.001\"} 5\n\
        bezant_stage_step_seconds_bucket{stage=\"engine\",le=\"+Inf\"} 7\n";

    #[test]
    fn figures_are_read_from_the_page() {
        assert_eq!(number(PAGE, WORKING).to_bits(), 3000_f64.to_bits());
        assert!(number(PAGE, "bezant_stage_working").is_nan());
        assert_eq!(classes(PAGE, "engine"), [(0.001, 5), (f64::INFINITY, 7)]);
        assert_eq!(classes(PAGE, "sync"), []);
    }

    #[test]
    fn a_thread_has_a_name_with_anything_in_it() {
        let stat = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(time_of(stat), Some(("a) b (c", 2.0)));
        assert_eq!(time_of("12 (engine) S 1"), None);
    }

    #[test]
    fn only_what_lies_inside_the_load_counts() {
        let look = |at_ms: f64, engine: f64, steps: u64| Look {
            at_ms,
            spent: [(0.0, 0.0), (0.0, 0.0), (engine, 10.0 - engine)],
            steps: [vec![], vec![], vec![(0.001, 1), (0.002, steps), (f64::INFINITY, steps)]],
            lag_s: if steps == 2 { 0.5 } else { 0.125 },
            threads: BTreeMap::from([("engine".to_owned(), engine), ("idle".to_owned(), 1.0)]),
        };
        let looks = vec![look(0.0, 0.0, 1), look(1_000.0, 1.0, 2), look(3_000.0, 2.5, 9)];
        let watch = Watch { is_over: Arc::default(), looking: std::thread::spawn(move || looks) };
        let seen = watch.end(&json!({ "began_ms": 500, "seconds": 3.0 }));
        assert_eq!(seen["seconds"], 2.0);
        assert_eq!(seen["settlement_lag_s"], json!({ "longest": 0.5, "in_the_last_third": 0.125 }));
        assert_eq!(seen["engine"]["working"], 0.75);
        assert_eq!(seen["cpu"], json!({ "engine": 0.75 }));
        assert_eq!(steps(&seen, "engine"), ("7 up to 2 ms".to_owned(), 2.0));
        let sentence = sentence(&seen).unwrap();
        assert!(sentence.contains("engine 75 % working"), "{sentence}");
        assert!(sentence.ends_with("of a core: engine 75 %"), "{sentence}");
    }
}
