//! `bezant identity`: development certificates, issued by the CA that `init` made.

use std::path::Path;
use std::time::Duration;

use identity::{DevCa, FileSource, Role, RolePatterns, TrustDomain, UnixTime, UuidText};

use crate::cli::{IdentityCommand, RoleArg};
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::{harden, init};

/// Runs one identity command.
pub(crate) fn run(config: &Config, command: &IdentityCommand) -> Result<(), Failure> {
    match command {
        IdentityCommand::Issue { role, name, out, hours } => {
            let ttl = Duration::from_secs(u64::from(*hours) * 3_600);
            let name = match (role, name) {
                (_, Some(name)) => name.clone(),
                (RoleArg::Agent, None) => uuid::Uuid::now_v7().to_string(),
                (_, None) => {
                    return Err(Failure::new(Exit::Usage, "--name is needed for this role"));
                }
            };
            issue(&dev_ca(config)?, role_of(*role), &name, ttl, out)?;
            show(out)
        }
        IdentityCommand::Renew { host_names, hours } => {
            harden::private_files();
            let ca = dev_ca(config)?;
            let ttl = Duration::from_secs(u64::from(*hours) * 3_600);
            let trust_domain = ca.trust_domain().clone();
            init::issue_own(config, &ca, &trust_domain, host_names, ttl)?;
            show(&config.identity_dir)
        }
        IdentityCommand::Show { dir } => show(dir),
    }
}

/// Opens the development CA of the frame in `config.data_dir`.
pub(crate) fn dev_ca(config: &Config) -> Result<DevCa, Failure> {
    let dir = config.data_dir.join("identity/ca");
    let missing = "no development CA here; run `bezant init` first, or point --data-dir at a frame";
    let server = FileSource::open(&config.identity_dir).or_exit(Exit::Identity, missing)?;
    let trust_domain: TrustDomain = server.current().trust_domain().clone();
    DevCa::open_or_create(&dir, &trust_domain, UnixTime::now()).or_exit(Exit::Identity, missing)
}

/// Issues one certificate into a directory.
pub(crate) fn issue(
    ca: &DevCa,
    role: Role,
    name: &str,
    ttl: Duration,
    out: &Path,
) -> Result<(), Failure> {
    ca.issue(role, name, ttl, UnixTime::now())
        .or_exit(Exit::Identity, "cannot issue the certificate")?
        .write_to(out)
        .or_exit(Exit::Identity, &format!("cannot write {}", out.display()))
}

const fn role_of(role: RoleArg) -> Role {
    match role {
        RoleArg::Agent => Role::Agent,
        RoleArg::Registry => Role::Registry,
        RoleArg::Mint => Role::Mint,
        RoleArg::Admin => Role::Admin,
        RoleArg::Auditor => Role::Auditor,
    }
}

/// Prints whose certificate `dir` holds.
pub(crate) fn show(dir: &Path) -> Result<(), Failure> {
    let source = FileSource::open(dir).or_exit(Exit::Identity, &dir.display().to_string())?;
    let material = source.current();
    let id = material.spiffe_id();
    let role = RolePatterns::default()
        .role_of(id, material.trust_domain())
        .or_exit(Exit::Identity, id.as_str())?;
    let principal = identity::Principal::of(id, role).or_exit(Exit::Identity, id.as_str())?;
    say!("spiffe id  {id}")?;
    say!("role       {role:?}")?;
    say!("principal  {}", UuidText(principal.id))?;
    say!("not after  {} (Unix seconds)", material.not_after().as_secs())
}
