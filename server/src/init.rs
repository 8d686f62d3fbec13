//! `bezant init`: makes a frame. Refuses a directory that already holds one; changes nothing else.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use identity::{DevCa, IssuedSvid, SpiffeId, TrustDomain, UnixTime};
use journal::{Entry, Journal, Kind};
use protocol::genesis::{Genesis, Mode, RULES};
use protocol::parameter::Parameters;

use crate::cli::{InitArgs, ModeArg, values};
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};
use crate::harden;

/// Name of the server's own identity: `spiffe://<trust domain>/frame/engine`.
pub(crate) const SERVER_NAME: &str = "engine";
/// Lifetime of development certificates that nobody chose one for.
pub(crate) const DEV_TTL: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Names of the server's certificate for clients on this machine that know nothing of SPIFFE.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// The first epoch of a frame without replicas.
pub(crate) const FIRST_EPOCH: u64 = 1;

/// Makes journal, development CA and server identity under `config.data_dir`.
pub(crate) fn run(config: &Config, args: &InitArgs) -> Result<Genesis, Failure> {
    let trust_domain = TrustDomain::parse(&args.trust_domain)
        .or_exit(Exit::Config, &format!("--trust-domain {:?}", args.trust_domain))?;
    let genesis = genesis(args)?;
    create_dir(&config.data_dir)?;
    harden::check_dirs(config)?;
    create_journal(config, &genesis)?;
    let now = UnixTime::now();
    let ca = DevCa::open_or_create(&config.data_dir.join("identity/ca"), &trust_domain, now)
        .or_exit(Exit::Identity, "cannot make the development CA")?;
    issue_own(&ca, &host_names(&args.host_names), DEV_TTL)?
        .write_to(&config.identity_dir)
        .or_exit(Exit::Identity, "cannot write the server's identity")?;
    Ok(genesis)
}

/// Those of the server's certificate: of this machine, and `further` ones.
pub(crate) fn host_names(further: &[String]) -> Vec<String> {
    LOOPBACK.map(str::to_owned).into_iter().chain(further.iter().cloned()).collect()
}

/// Issues the server's own certificate.
pub(crate) fn issue_own(
    ca: &DevCa,
    host_names: &[String],
    ttl: Duration,
) -> Result<IssuedSvid, Failure> {
    let path = format!("/frame/{SERVER_NAME}");
    let id = SpiffeId::from_parts(ca.trust_domain(), &path).or_exit(Exit::Internal, &path)?;
    let host_names: Vec<_> = host_names.iter().map(String::as_str).collect();
    ca.issue_id(&id, &host_names, ttl, UnixTime::now())
        .or_exit(Exit::Identity, "cannot issue the server's identity")
}

fn create_dir(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .or_exit(Exit::Io, &format!("cannot make {}", dir.display()))
}

fn create_journal(config: &Config, genesis: &Genesis) -> Result<(), Failure> {
    let dir = config.journal_dir();
    let entry = Entry {
        kind: Kind::Genesis,
        rules: RULES,
        epoch: FIRST_EPOCH,
        first_sequence: 1,
        timestamp_ns: crate::clock::wall_ns(),
        ..Entry::default()
    };
    let storage = Arc::new(config.journal_files());
    let settings = journal::Config { segment_size: config.segment_bytes };
    Journal::create(storage, settings, genesis.frame, &entry, &[&genesis.encode()])
        .map(drop)
        .or_exit(Exit::Io, &format!("cannot make a journal in {}", dir.display()))
}

fn genesis(args: &InitArgs) -> Result<Genesis, Failure> {
    let mut parameters = Parameters::default();
    for assignment in &args.parameters {
        let (parameter, value) = values::assignment(assignment).map_err(|cause| {
            Failure::new(Exit::Config, format!("--parameter {assignment}: {cause}"))
        })?;
        parameters = parameters.with(parameter, value);
    }
    let genesis = Genesis {
        frame: random()?,
        hash_seed: random()?,
        mode: match args.mode {
            ModeArg::Frame => Mode::Frame,
            ModeArg::Operator => Mode::Operator,
        },
        scale: args.scale,
        name: args.asset.clone(),
        trust_domain: args.trust_domain.clone(),
        parameters,
    };
    genesis.validate().or_exit(Exit::Config, "the frame cannot be made")?;
    Ok(genesis)
}

/// 128 bits from the operating system's generator.
fn random() -> Result<u128, Failure> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .or_exit(Exit::Io, "cannot read /dev/urandom")?;
    Ok(u128::from_le_bytes(bytes))
}
