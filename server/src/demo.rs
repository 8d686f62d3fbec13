//! `bezant demo`: the main job shown working on a fresh frame in a temporary directory. The frame
//! runs as a process of its own, is killed with SIGKILL under load and started again; the judge is
//! the harness's own book, fed by acknowledged answers alone.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use loadgen::run::Progress;
use loadgen::{Agreement, Door, Driver, FrameHome, FrameProcess, Load, Mix, Skew, Target};
use tokio::task::JoinHandle;

use crate::cli::DemoArgs;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::logging::complain;
use crate::out;

/// How often the live line changes.
const LIVE_LINE: Duration = Duration::from_millis(500);
/// Longest wait for the admin door.
const ADMIN_PATIENCE: Duration = Duration::from_secs(2);

/// What the demonstration found.
struct Findings {
    accounts: u32,
    rate: f64,
    lost_requests: usize,
    repeated: u64,
    fresh: u64,
    restart: Duration,
    agreement: Agreement,
    stopped: bool,
    audited: bool,
    verified: bool,
}

/// Runs the demonstration; fails if anything differs.
pub(crate) async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("bezant-demo-{}", std::process::id()));
    let outcome = show(args, dir.clone()).await;
    if args.keep {
        // What the demonstration found counts for more than this line.
        let _ = say!("kept        {}", dir.display());
    } else if let Err(error) = std::fs::remove_dir_all(&dir) {
        complain(format_args!("cannot remove {}: {error}", dir.display()));
    }
    outcome
}

async fn show(args: &DemoArgs, dir: PathBuf) -> Result<(), Failure> {
    let binary = std::env::current_exe().or_exit(Exit::Io, "cannot find this program")?;
    let home = home(args, binary, dir);
    say!("1. a fresh frame with development identities")?;
    home.init(&[]).or_exit(Exit::Failed, "init")?;
    let registry = home.issue("registry", "first").or_exit(Exit::Failed, "identity")?;
    let mint = home.issue("mint", "treasury").or_exit(Exit::Failed, "identity")?;
    let frame = home.start().or_exit(Exit::Failed, "serve")?;
    let mut target = Target { addr: frame.quic, https: frame.https, registry, mint };

    say!("2. {} agents: accounts opened, funds issued", args.accounts)?;
    let prepared = Driver::prepare(&target, load(args)).await;
    let mut driver = prepared.or_exit(Exit::Failed, "preparing the load")?;

    say!("3. {} s of transfers, holds and reads over QUIC with mTLS, then SIGKILL", args.seconds)?;
    let rate = load_until_killed(args, &mut driver, &target, frame).await?;
    let lost_requests = driver.unknown();

    say!("4. the same data directory, started again")?;
    let at = Instant::now();
    let frame = home.start().or_exit(Exit::Failed, "serve")?;
    let restart = at.elapsed();
    (target.addr, target.https) = (frame.quic, frame.https);
    let resolved = driver.resolve(&target).await;
    let (repeated, fresh) = resolved.or_exit(Exit::Failed, "resolving lost answers")?;
    let seconds = restart.as_secs_f64();
    say!("   serving after {seconds:.2} s; every lost answer resolved by its id")?;

    say!("5. more load, then the books are compared")?;
    driver.set_time_max(Duration::from_secs(args.seconds.min(2)));
    let live = live_line(&driver, frame.admin);
    driver.drive(&target).await.or_exit(Exit::Failed, "load after the restart")?;
    live.abort();
    let agreement = driver.compare(&target).await.or_exit(Exit::Failed, "comparing the books")?;

    say!("\n6. SIGTERM: drain, sync, settle; then audit from the files")?;
    let stopped = frame.terminate().or_exit(Exit::Io, "cannot stop the frame")?.success();
    verdict(&Findings {
        accounts: args.accounts,
        rate,
        lost_requests,
        repeated,
        fresh,
        restart,
        agreement,
        stopped,
        audited: judge(&home, &["audit"])?,
        verified: judge(&home, &["verify-settlement"])?,
    })
}

/// Loads the frame until it is killed; returns the rate until then.
async fn load_until_killed(
    args: &DemoArgs,
    driver: &mut Driver,
    target: &Target,
    frame: FrameProcess,
) -> Result<f64, Failure> {
    let live = live_line(driver, frame.admin);
    let progress = Arc::clone(&driver.progress);
    let kill = kill_after(Duration::from_secs(args.seconds), frame, progress);
    let driven = driver.drive(target).await;
    let killed = kill.await.or_exit(Exit::Internal, "the kill did not happen")?;
    live.abort();
    let elapsed = driven.or_exit(Exit::Failed, "load")?;
    say!("\n   killed process {killed}; {} requests have no answer", driver.unknown())?;
    Ok(driver.measured.executed as f64 / elapsed.as_secs_f64())
}

fn home(args: &DemoArgs, binary: PathBuf, dir: PathBuf) -> FrameHome {
    let home = FrameHome::new(binary, dir);
    match &args.postgres {
        None => home.with("settlement.sink=sqlite"),
        Some(dsn) => {
            home.with("settlement.sink=postgres").with(&format!("settlement.postgres={dsn}"))
        }
    }
}

fn load(args: &DemoArgs) -> Load {
    Load {
        door: Door::Quic,
        seed: u64::from(std::process::id()),
        accounts: args.accounts.max(2),
        skew: Skew::Zipfian,
        mix: Mix { holds: 20, reads: 5 },
        batch: 1_000,
        connections: 4,
        in_flight: 2,
        open: None,
        commands_max: u64::MAX,
        time_max: Duration::from_secs(3_600),
        warm_up: Duration::ZERO,
    }
}

/// Kills the frame when the time has come, and makes the load notice at once.
fn kill_after(after: Duration, frame: FrameProcess, progress: Arc<Progress>) -> JoinHandle<u32> {
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        let id = frame.id();
        frame.kill();
        progress.disconnect();
        id
    })
}

fn live_line(driver: &Driver, admin: SocketAddr) -> JoinHandle<()> {
    let progress = Arc::clone(&driver.progress);
    tokio::spawn(async move {
        let is_terminal = std::io::stdout().is_terminal();
        let mut before = progress.executed.load(Ordering::Relaxed);
        progress.take_recent();
        loop {
            let at = Instant::now();
            tokio::time::sleep(LIVE_LINE).await;
            let executed = progress.executed.load(Ordering::Relaxed);
            let rate = (executed - before) as f64 / at.elapsed().as_secs_f64();
            before = executed;
            let recent = progress.take_recent();
            let (p50, p99) = (recent.quantile(0.5), recent.quantile(0.99));
            let figures = tokio::task::spawn_blocking(move || figures(admin)).await;
            let (lag, delta) = figures.unwrap_or_default();
            let line = format!(
                "   {rate:>9.0} commands/s  p50 {:.1} ms  p99 {:.1} ms  \
                 settlement lag {lag} s  supply delta {delta}",
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
            );
            if is_terminal {
                // A terminal that is gone needs no line.
                let _ = out::text(format!("\r{line}  ").as_bytes());
            } else {
                let _ = say!("{line}");
            }
        }
    })
}

/// Settlement lag and supply delta as the frame's admin door states them.
fn figures(admin: SocketAddr) -> (String, String) {
    let page = page(admin).unwrap_or_default();
    let find = |name: &str| {
        let line = page.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
    };
    (find("bezant_settlement_lag_seconds "), find("bezant_supply_delta{asset=\"1\"} "))
}

fn page(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ADMIN_PATIENCE)?;
    stream.set_read_timeout(Some(ADMIN_PATIENCE))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

/// Runs a judging subcommand, shows its lines, and says whether it found everything right.
fn judge(home: &FrameHome, arguments: &[&str]) -> Result<bool, Failure> {
    let finished = home.run(arguments).or_exit(Exit::Io, "cannot run the audit")?;
    for line in finished.stdout.lines().chain(finished.stderr.lines()) {
        say!("   {line}")?;
    }
    Ok(finished.status.success())
}

fn verdict(findings: &Findings) -> Result<(), Failure> {
    let Findings { agreement, .. } = findings;
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    let mut is_good = true;
    let mut row = |what: &str, seen: String, ok: bool| {
        is_good &= ok;
        table.add_row([what.to_owned(), seen, if ok { "ok" } else { "FAILED" }.to_owned()]);
    };
    row("rate under load", format!("{:.0} commands/s", findings.rate), findings.rate > 0.0);
    row(
        "SIGKILL under load",
        format!(
            "{} requests unanswered: {} commands had been executed, {} had not",
            findings.lost_requests, findings.repeated, findings.fresh
        ),
        true,
    );
    row("restart", format!("{:.2} s", findings.restart.as_secs_f64()), true);
    row(
        "engine against own book",
        format!("{} accounts, {} differences", findings.accounts, agreement.differences),
        agreement.differences == 0,
    );
    let delta = &agreement.supply_delta;
    row("supply delta", delta.clone(), delta == "0");
    row("graceful stop", "drained, synced, settled".into(), findings.stopped);
    row("engine against journal replay", "bezant audit".into(), findings.audited);
    row("SQL against journal", "bezant verify-settlement".into(), findings.verified);
    say!("{table}")?;
    for example in &agreement.examples {
        say!("difference  {example}")?;
    }
    if is_good {
        say!("verdict: every acknowledged unit is where it belongs")?;
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "the demonstration found a difference: see the table"))
}
