//! `bezant-loadgen`: load against any running frame, with its own book as the judge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use loadgen::feeds::IdleFeeds;
use loadgen::run::{Door, Driver, Load, Progress, RunError, Target};
use loadgen::{Agreement, Arrivals, Mix, OpenLoop, Report, Skew, payments, plots};

/// Commands a request, unless said otherwise.
const BATCH: u32 = 8_190;
/// Commands that an open loop has under way at once, before what comes due waits: enough to see a
/// queue grow, and no more memory than buffers hold.
const OPEN_COMMANDS_IN_FLIGHT: u32 = 131_072;
/// Requests of an open loop unanswered at once on each connection, at the least.
const OPEN_IN_FLIGHT_MIN: u32 = 4;
/// And at the most.
const OPEN_IN_FLIGHT_MAX: u32 = 64;
/// Over HTTPS, on all connections together: each may be one of its own.
const OPEN_LINES_MAX: u32 = 128;

/// Drives a running frame over QUIC or HTTPS, and compares every account with its own book.
#[derive(Debug, Parser)]
#[command(name = "bezant-loadgen", version, about)]
struct Arguments {
    /// Address of the frame's QUIC door.
    #[arg(long, default_value = "127.0.0.1:7400")]
    server: SocketAddr,
    /// Address of the frame's HTTPS door.
    #[arg(long, default_value = "127.0.0.1:7402")]
    https: SocketAddr,
    /// Which way the load goes in; over https-json a request is one command.
    #[arg(long, value_enum, default_value_t = Door::Quic)]
    door: Door,
    /// Identity directory of the registry that will host the accounts.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["null", "hold"])]
    registry: Option<PathBuf>,
    /// Identity directory of the mint role, which funds the accounts.
    #[arg(long, value_name = "DIR", required_unless_present_any = ["null", "hold"])]
    mint: Option<PathBuf>,
    /// Plans, encodes and books without a frame, as if everything were executed: what the harness
    /// itself costs.
    #[arg(long, conflicts_with = "payments")]
    null: bool,
    /// Seed of owners and payments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Accounts.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    accounts: u32,
    /// Which accounts pay and are paid.
    #[arg(long, value_enum, default_value_t = Skew::Uniform)]
    skew: Skew,
    /// Commands a request: 8 190, or 1 over https-json.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=8_190))]
    batch: Option<u32>,
    /// Connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Requests unanswered at once on each connection: 4, or 1 over https-json; with --rate as many
    /// as hold 131 072 commands, over QUIC 4 to 64, over HTTPS 128 on all connections together.
    /// Over HTTP/1.1 each is a connection of its own.
    #[arg(long)]
    in_flight: Option<u32>,
    /// Offers so many commands a second, however fast answers come; latency then counts from the
    /// time that each request was meant to be sent.
    #[arg(long, value_name = "COMMANDS", value_parser = positive)]
    rate: Option<f64>,
    /// How the times of --rate are spread.
    #[arg(long, value_enum, default_value_t = Arrivals::Even, requires = "rate")]
    arrivals: Arrivals,
    /// Percent of holds with their captures, releases and expiries.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    holds: u8,
    /// Percent of rounds with reads of accounts.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    reads: u8,
    /// Commands to send.
    #[arg(long, default_value_t = 1_000_000)]
    commands: u64,
    /// Longest time to send for, in seconds.
    #[arg(long, default_value_t = 3_600)]
    seconds: u64,
    /// Leaves what is answered in the first so many seconds out of the latencies, not out of the
    /// counts: connections, buffers and tables are fresh then, at both ends.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    warm_up: u64,
    /// Pays from this file (`from,to,amount` and perhaps `,at`) instead of planned load.
    #[arg(long, value_name = "CSV")]
    payments: Option<PathBuf>,
    /// Writes the report as JSON into this file; - for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<String>,
    /// Writes plots of the run (SVG) and its percentile table into this directory.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Holds so many idle feeds open beside the load, each on a connection of its own.
    #[arg(long, default_value_t = 0, requires = "auditors", conflicts_with = "null")]
    feeds: usize,
    /// Directory of identity directories of auditors, one for each 16 feeds.
    #[arg(long, value_name = "DIR")]
    auditors: Option<PathBuf>,
    /// Holds the feeds alone, for loads of other processes: says when all are open, and closes them
    /// when its standard input ends.
    #[arg(long, requires_all = ["auditors", "feeds"], conflicts_with_all = ["null", "payments"])]
    hold: bool,
    /// Threads of the harness.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}"), 74),
    };
    match runtime.block_on(run(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => fail(&message, 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    eprintln!("bezant-loadgen: {message}");
    ExitCode::from(code)
}

async fn run(arguments: &Arguments) -> Result<bool, String> {
    // Without a frame nobody asks for them.
    let directory = |named: &Option<PathBuf>| named.clone().unwrap_or_default();
    let target = Target {
        addr: arguments.server,
        https: Some(arguments.https),
        registry: directory(&arguments.registry),
        mint: directory(&arguments.mint),
    };
    if let Some(path) = &arguments.payments {
        return pay(&target, path, arguments.batch.unwrap_or(BATCH) as usize).await;
    }
    let feeds = match &arguments.auditors {
        Some(auditors) if arguments.feeds > 0 => {
            let opened = IdleFeeds::open(target.addr, auditors, arguments.feeds).await;
            Some(opened.map_err(|error| error.to_string())?)
        }
        _ => None,
    };
    if arguments.hold {
        println!("feeds are open");
        // A wait that is no load; what it reads says nothing.
        let input = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        tokio::task::spawn_blocking(input).await.map_err(|error| error.to_string())?.ok();
        close(feeds, arguments.feeds).await?;
        return Ok(true);
    }
    let load = load(arguments)?;
    let report = if arguments.null { null(load).await } else { drive(&target, load).await? };
    close(feeds, arguments.feeds).await?;
    let holds = report.agreement.as_ref().is_some_and(Agreement::holds);
    if let Some(dir) = &arguments.plots {
        plots::write(&report, dir)
            .map_err(|error| format!("cannot write plots into {}: {error}", dir.display()))?;
    }
    let json = serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?;
    match arguments.json.as_deref() {
        Some("-") => println!("{json}"),
        Some(path) => {
            std::fs::write(path, json).map_err(|error| format!("cannot write {path}: {error}"))?;
            println!("{}", report.table());
        }
        None => println!("{}", report.table()),
    }
    Ok(holds)
}

/// Closes the feeds, of which so many were opened and are to be open still, and told nothing.
async fn close(feeds: Option<IdleFeeds>, count: usize) -> Result<(), String> {
    let Some(feeds) = feeds else {
        return Ok(());
    };
    match feeds.close().await {
        (open, 0) if open == count => Ok(()),
        (open, events) => {
            Err(format!("of the feeds {open} were open at the end, told {events} events"))
        }
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a rate is a number above zero".to_owned())
}

fn load(arguments: &Arguments) -> Result<Load, String> {
    let single = arguments.door == Door::HttpsJson;
    if single && arguments.batch.is_some_and(|batch| batch != 1) {
        return Err("--door https-json sends one command a request; leave --batch out".to_owned());
    }
    let batch = arguments.batch.unwrap_or(if single { 1 } else { BATCH });
    let open = arguments.rate.map(|rate| OpenLoop { rate, arrivals: arguments.arrivals });
    let each = |all: u32| all / u32::from(arguments.connections);
    let by_commands = each(OPEN_COMMANDS_IN_FLIGHT / batch);
    let in_flight = match open {
        Some(_) if arguments.door == Door::Quic => {
            by_commands.clamp(OPEN_IN_FLIGHT_MIN, OPEN_IN_FLIGHT_MAX)
        }
        Some(_) => by_commands.min(each(OPEN_LINES_MAX)).max(1),
        None if single => 1,
        None => 4,
    };
    if arguments.warm_up >= arguments.seconds {
        return Err(format!(
            "--warm-up {} leaves nothing to measure of --seconds {}",
            arguments.warm_up, arguments.seconds
        ));
    }
    Ok(Load {
        door: arguments.door,
        seed: arguments.seed,
        accounts: arguments.accounts,
        skew: arguments.skew,
        mix: Mix { holds: arguments.holds, reads: arguments.reads },
        batch: batch as usize,
        connections: arguments.connections,
        in_flight: arguments.in_flight.unwrap_or(in_flight),
        open,
        commands_max: arguments.commands,
        time_max: Duration::from_secs(arguments.seconds),
        warm_up: Duration::from_secs(arguments.warm_up),
    })
}

async fn drive(target: &Target, load: Load) -> Result<Report, String> {
    let text = |error: RunError| error.to_string();
    let mut driver = Driver::prepare(target, load).await.map_err(text)?;
    let shown = tokio::spawn(show(Arc::clone(&driver.progress), load.commands_max));
    let elapsed = driver.drive(target).await.map_err(text)?;
    shown.abort();
    for error in &driver.errors {
        eprintln!("bezant-loadgen: a connection ended: {error}");
    }
    let mut report = Report::of(&driver, elapsed);
    if driver.unknown() > 0 {
        driver.resolve(target).await.map_err(text)?;
    }
    report.agreement = Some(driver.compare(target).await.map_err(text)?);
    Ok(report)
}

async fn null(load: Load) -> Report {
    let mut driver = Driver::prepare_null(load);
    let elapsed = driver.drive_null().await;
    let mut report = Report::of(&driver, elapsed);
    report.settings.door += " (no frame)";
    report.agreement = Some(driver.compare_null());
    report
}

/// One line a quarter second: how much, how fast, how many refused.
async fn show(progress: Arc<Progress>, commands: u64) {
    let bar = ProgressBar::new(commands);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let (mut before, mut at) = (0, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let executed = progress.executed.load(Ordering::Relaxed);
        let refused = progress.refused.load(Ordering::Relaxed);
        let rate = (executed - before) as f64 / at.elapsed().as_secs_f64();
        (before, at) = (executed, Instant::now());
        bar.set_position(executed + refused);
        bar.set_message(format!("{rate:.0}/s, {refused} refused"));
    }
}

async fn pay(target: &Target, path: &std::path::Path, batch: usize) -> Result<bool, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let scale = scale(target).await?;
    let payments =
        payments::parse(&text, scale).map_err(|error| format!("{}: {error}", path.display()))?;
    let outcomes = loadgen::run::pay_file(target, &payments, batch)
        .await
        .map_err(|error| error.to_string())?;
    let paid = outcomes.iter().filter(|outcome| outcome.status.is_ok()).count();
    println!("{paid} of {} payments executed", outcomes.len());
    for (payment, outcome) in payments.iter().zip(&outcomes) {
        if !outcome.status.is_ok() {
            let amount = protocol::amount::format(payment.amount, scale);
            println!("refused {}: {amount} ({})", outcome.status, outcome.status.cure());
        }
    }
    Ok(paid == outcomes.len())
}

async fn scale(target: &Target) -> Result<u16, String> {
    let options = client::Options::default();
    let client = loadgen::run::connect(target.addr, &target.registry, options).await;
    let client = client.map_err(|error| error.to_string())?;
    let asset = client.ask(client::query::asset(protocol::ids::NATIVE)).await;
    let scale = asset.map_err(|error| error.to_string())?.scale;
    u16::try_from(scale).map_err(|_| format!("the frame names a scale of {scale}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_that_cannot_be_are_refused_in_words() {
        for (arguments, words) in [
            (&["--door", "https-json", "--batch", "2"][..], "leave --batch out"),
            (&["--seconds", "3", "--warm-up", "3"], "leaves nothing to measure of --seconds 3"),
        ] {
            let line = ["bezant-loadgen", "--null"].iter().chain(arguments);
            let error = load(&Arguments::try_parse_from(line).unwrap()).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let usual = ["bezant-loadgen", "--null", "--seconds", "3", "--warm-up", "1"];
        let usual = load(&Arguments::try_parse_from(usual).unwrap()).unwrap();
        assert_eq!(
            (usual.warm_up, usual.time_max),
            (Duration::from_secs(1), Duration::from_secs(3))
        );
    }
}
