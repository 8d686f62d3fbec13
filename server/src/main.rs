//! The `bezant` binary: reads settings, starts logging, and hands over to one subcommand.
//!
//! Only this crate knows the wall clock, threads, configuration and signals.
#![deny(unsafe_code)]

#[macro_use]
mod out;

mod admin;
mod asking;
mod audit;
mod audit_log;
mod cli;
mod client_cmd;
mod clock;
mod complete;
mod config;
mod console;
mod demo;
mod doctor;
mod entries;
mod exit;
mod feeds;
mod harden;
mod health;
mod history;
mod identity_cmd;
mod images;
mod init;
mod journal_cmd;
mod keeper;
mod keys;
mod logging;
mod memory;
mod notify;
mod observe;
mod otlp;
mod pace;
mod past;
mod public;
mod recover;
mod replay_cmd;
mod retention;
mod serve;
mod settings;
mod settle;
mod settled;
mod sinks;
mod snapshot_cmd;
mod threads;
mod top;
mod what_if;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{AuditLogCommand, Cli, Command, ConfigCommand, IdentityCommand, SettingsArgs};
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::settings::{Origin, Settings};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => Exit::Ok.into(),
        Err(Failure { exit, message }) => {
            logging::complain(&message);
            exit.into()
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Completions { shell } => return complete::script(*shell),
        Command::Man { out } => return complete::pages(out.as_deref()),
        // What follows asks nothing of the frame's own settings, which may be wrong or elsewhere.
        Command::Client(args) => return block_on(client_cmd::run(args)),
        Command::Demo(args) => return block_on(demo::run(args)),
        Command::Identity(IdentityCommand::Show { dir }) => return identity_cmd::show(dir),
        Command::Config(ConfigCommand::Example) => {
            return out::text(settings::example().as_bytes());
        }
        _ => {}
    }
    let (parameters, assignments) = match &cli.command {
        Command::WhatIf(_) => what_if::split(&cli.settings.set)?,
        _ => (Vec::new(), cli.settings.set.clone()),
    };
    let settings = layered(&cli.settings, &assignments).or_exit(Exit::Config, "configuration")?;
    let config = Config::from_settings(&settings).or_exit(Exit::Config, "configuration");
    if let Command::Config(command) = &cli.command {
        return show_config(*command, &settings, config.map(drop));
    }
    let config = config?;
    // To the end: what is traced of it goes out.
    let _export = match &cli.command {
        Command::Serve => logging::start(&settings, config.otlp.as_ref())?,
        Command::Audit
        | Command::VerifySettlement
        | Command::Replay(_)
        | Command::WhatIf(_)
        | Command::Snapshot(_) => {
            logging::start_quiet();
            harden::first_to_go();
            None
        }
        _ => {
            logging::start_quiet();
            None
        }
    };
    match &cli.command {
        Command::Init(args) => {
            let genesis = init::run(&config, args)?;
            say!("frame         {:032x}", genesis.frame)?;
            say!("trust domain  {}", genesis.trust_domain)?;
            say!("asset 1       {} with {} digits", genesis.name, genesis.scale)?;
            say!("data          {}", config.data_dir.display())
        }
        Command::Serve => serve::run(&config),
        Command::Journal(command) => journal_cmd::run(&config, command),
        Command::Snapshot(command) => snapshot_cmd::run(&config, *command),
        Command::AuditLog(AuditLogCommand::Verify) => audit_log::verify(&config.data_dir),
        Command::Audit => audit::audit(&config),
        Command::VerifySettlement => audit::verify_settlement(&config),
        Command::Replay(args) => replay_cmd::run(&config, args),
        Command::WhatIf(args) => what_if::run(&config, args, &parameters),
        Command::Doctor { json } => doctor::run(&config, *json),
        Command::Health => health::run(&config),
        Command::Top(args) => top::run(&config, args),
        Command::Identity(command) => identity_cmd::run(&config, command),
        Command::Client(_)
        | Command::Completions { .. }
        | Command::Config(_)
        | Command::Demo(_)
        | Command::Man { .. } => Ok(()),
    }
}

fn block_on(task: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .or_exit(Exit::Io, "cannot start the runtime")?;
    runtime.block_on(task)
}

/// Default < file < environment < flags.
fn layered(args: &SettingsArgs, set: &[String]) -> Result<Settings, settings::SettingsError> {
    let mut settings = Settings::defaults();
    if let Some(path) = &args.config {
        settings.file(path)?;
    }
    settings.environment(std::env::vars())?;
    if let Some(dir) = &args.data_dir {
        settings.set("data.dir", dir.display().to_string(), Origin::Flag)?;
    }
    settings.flags(set)?;
    Ok(settings)
}

fn show_config(
    command: ConfigCommand,
    settings: &Settings,
    judged: Result<(), Failure>,
) -> Result<(), Failure> {
    match command {
        ConfigCommand::Check => {
            judged?;
            say!("the configuration can be used")?;
        }
        // Needs no settings and was printed before.
        ConfigCommand::Example => {}
        ConfigCommand::Show => {
            for setting in settings::all() {
                let (shown, origin) = settings.shown(setting.key);
                say!("{:24} = {shown:24} # {origin}; {}", setting.key, setting.meaning)?;
            }
        }
    }
    Ok(())
}
