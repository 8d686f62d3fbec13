//! `bezant identity`: development certificates, issued by the CA that `init` made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::{DevCa, FileSource, Material, Role, RolePatterns, UnixTime, UuidText};

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
            renew(config, host_names, Duration::from_secs(u64::from(*hours) * 3_600))?;
            show(&config.identity_dir)
        }
        IdentityCommand::Show { dir } => show(dir),
    }
}

/// Opens the development CA of the frame in `config.data_dir`.
pub(crate) fn dev_ca(config: &Config) -> Result<DevCa, Failure> {
    let dir = config.data_dir.join("identity/ca");
    let missing = "no development CA here; run `bezant init` first, or point --data-dir at a frame";
    let own = own_material(config, missing)?;
    DevCa::open(&dir, own.trust_domain(), UnixTime::now()).or_exit(Exit::Identity, missing)
}

fn own_material(config: &Config, missing: &str) -> Result<Arc<Material>, Failure> {
    let source = FileSource::open(&config.identity_dir).or_exit(Exit::Identity, missing)?;
    Ok(source.current())
}

/// Issues the frame's certificate again, for the names that it has and further ones.
fn renew(config: &Config, further: &[String], ttl: Duration) -> Result<(), Failure> {
    let ca = dev_ca(config)?;
    let mut host_names = own_material(config, "the frame's certificate")?.host_names();
    for name in init::host_names(further) {
        if !host_names.contains(&name) {
            host_names.push(name);
        }
    }
    init::issue_own(&ca, &host_names, ttl)?
        .renew_in(&config.identity_dir, UnixTime::now())
        .or_exit(Exit::Identity, "the frame's certificate stays as it is")
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
