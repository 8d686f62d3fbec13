//! The configuration as values with types: parsed once from [`Settings`], so that nothing after it
//! can meet a setting that makes no sense.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use journal::{Backend, FileStorage};

use crate::otlp::{self, Collector};
use crate::settings::{self, Origin, Settings};

/// A setting whose value cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {value:?} ({origin}): {cause}")]
pub(crate) struct ConfigError {
    key: &'static str,
    value: String,
    origin: Origin,
    cause: String,
}

/// Where settled balances go.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SinkConfig {
    /// Nowhere: the journal alone.
    None,
    /// The embedded database.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(String),
}

impl fmt::Debug for SinkConfig {
    /// Shows no connection string: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(hidden)"),
        }
    }
}

/// How a running frame looks after its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// Time from one snapshot to the next, if there is one by age.
    pub(crate) snapshot_interval: Option<Duration>,
    /// Bytes of journal from one snapshot to the next, if there is one by size.
    pub(crate) snapshot_journal_bytes: Option<u64>,
    /// Whether segments are removed that nothing needs; snapshots are in any case.
    pub(crate) retention_enabled: bool,
    /// Age of journal and snapshots at which they may go.
    pub(crate) retention_keep: Duration,
    /// Bytes a second to be verified again, if any.
    pub(crate) scrub_bytes_per_s: Option<u64>,
}

/// What `serve` runs with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) quic: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Nothing: no supply page is served.
    pub(crate) public: Option<SocketAddr>,
    pub(crate) identity_dir: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) backend: Backend,
    pub(crate) upkeep: Upkeep,
    pub(crate) memory_reserve: usize,
    pub(crate) ring_requests: usize,
    pub(crate) pool_bytes: usize,
    pub(crate) sink: SinkConfig,
    pub(crate) settlement_interval_ms: u64,
    pub(crate) settlement_share_percent: u64,
    pub(crate) history: bool,
    pub(crate) accept_clock_step: bool,
    pub(crate) gateway_workers: usize,
    pub(crate) connections_max: usize,
    pub(crate) limits: gateway::RoleLimits,
    pub(crate) receive_budget_size: usize,
    /// Nothing: no feeds are served.
    pub(crate) feeds: Option<gateway::FeedLimits>,
    /// Nothing: traces go nowhere.
    pub(crate) otlp: Option<Collector>,
    /// All of it as it was written, without secrets, for those who may look.
    pub(crate) shown: Vec<gateway::Setting>,
}

impl Config {
    /// Parses every setting.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        let data_dir = PathBuf::from(settings.value("data.dir").0);
        let or_under = |key: &'static str, default: &str| match settings.value(key).0 {
            "" => data_dir.join(default),
            path => PathBuf::from(path),
        };
        let identity_dir = or_under("identity.dir", "identity/server");
        let sqlite = or_under("settlement.sqlite", "settlement.sqlite");
        let admin: SocketAddr = parse(settings, "listen.admin", "an address like 127.0.0.1:7401")?;
        if !admin.ip().is_loopback() {
            return Err(bad(
                settings,
                "listen.admin",
                "this door has no identity check: loopback only",
            ));
        }
        let ring_requests: usize = ranged(settings, "ring.requests", 64, 1 << 16)?;
        if !ring_requests.is_power_of_two() {
            return Err(bad(settings, "ring.requests", "must be a power of two"));
        }
        let mib = 1 << 20;
        Ok(Self {
            quic: parse(settings, "listen.quic", "an address like 127.0.0.1:7400")?,
            https: parse(settings, "listen.https", "an address like 127.0.0.1:7402")?,
            admin,
            public: match settings.value("listen.public").0 {
                "" => None,
                _ => Some(parse(settings, "listen.public", "an address like 127.0.0.1:7403")?),
            },
            identity_dir,
            segment_bytes: ranged::<u64>(settings, "journal.segment_mib", 8, 4_096)? * mib,
            backend: match settings.value("journal.backend").0 {
                "auto" => Backend::Auto,
                "direct" => Backend::Direct,
                "mapped" => Backend::Mapped,
                _ => return Err(bad(settings, "journal.backend", "auto, direct or mapped")),
            },
            upkeep: upkeep(settings)?,
            memory_reserve: ranged::<usize>(settings, "memory.reserve_mib", 0, 1 << 20)? << 20,
            ring_requests,
            pool_bytes: ranged::<usize>(settings, "ring.pool_mib", 8, 1 << 16)? << 20,
            sink: sink(settings, sqlite)?,
            settlement_interval_ms: ranged(settings, "settlement.interval_ms", 10, 60_000)?,
            settlement_share_percent: ranged(settings, "settlement.share_max", 1, 100)?,
            history: match settings.value("settlement.history").0 {
                "none" => false,
                "full" => true,
                _ => return Err(bad(settings, "settlement.history", "none or full")),
            },
            accept_clock_step: parse(settings, "clock.accept_step", "true or false")?,
            gateway_workers: ranged(settings, "gateway.workers", 1, 64)?,
            connections_max: ranged(settings, "gateway.connections", 1, 65_536)?,
            limits: limits(settings)?,
            receive_budget_size: ranged::<usize>(
                settings,
                "gateway.receive_budget_mib",
                8,
                1 << 16,
            )? << 20,
            feeds: feeds(settings)?,
            otlp: collector(settings)?,
            shown: settings.list(),
            data_dir,
        })
    }

    /// Directory of the snapshots.
    pub(crate) fn snapshot_dir(&self) -> PathBuf {
        self.data_dir.join("snapshots")
    }

    /// Directory of the journal's segments.
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    /// The journal's files, for whoever may write them.
    pub(crate) fn journal_files(&self) -> FileStorage {
        FileStorage::with_backend(self.journal_dir(), self.backend)
    }
}

fn upkeep(settings: &Settings) -> Result<Upkeep, ConfigError> {
    const YEARS_100_S: u64 = 100 * 366 * 24 * 3_600;
    let number = |key, max| ranged::<u64>(settings, key, 0, max);
    let some = |number| (number > 0).then_some(number);
    let mib = |key| number(key, 1 << 24).map(|mib| some(mib << 20));
    let interval_s = number("snapshot.interval_s", YEARS_100_S)?;
    let keep_h = number("retention.keep_h", YEARS_100_S / 3_600)?;
    Ok(Upkeep {
        snapshot_interval: some(interval_s).map(Duration::from_secs),
        snapshot_journal_bytes: mib("snapshot.journal_mib")?,
        retention_enabled: parse(settings, "retention.enabled", "true or false")?,
        retention_keep: Duration::from_secs(keep_h * 3_600),
        scrub_bytes_per_s: mib("scrub.mib_per_s")?,
    })
}

/// What one identity of each role may ask for.
fn limits(settings: &Settings) -> Result<gateway::RoleLimits, ConfigError> {
    let mut limits = gateway::RoleLimits::default();
    for role in identity::Role::ALL {
        let number = |name: &str, max: u64| {
            let key = format!("limits.{}.{name}", role.name());
            let known = settings::all().find(|setting| setting.key == key);
            let key = known.expect("every role has every limit among the settings").key;
            ranged::<u64>(settings, key, 0, max)
        };
        let small = |name| {
            let value = number(name, u64::from(u32::MAX))?;
            Ok(u32::try_from(value).expect("its range was checked"))
        };
        let allotment = gateway::Allotment {
            requests_per_s: small("requests_per_s")?,
            bytes_per_s: number("bytes_per_s", 1 << 40)?,
            in_flight: small("in_flight")?,
            connections: small("connections")?,
        };
        limits.set(role, allotment);
    }
    Ok(limits)
}

/// Who may follow the history, and what is kept for them.
fn feeds(settings: &Settings) -> Result<Option<gateway::FeedLimits>, ConfigError> {
    let limits = gateway::FeedLimits {
        followers_max: ranged(settings, "feeds.connections", 1, 1 << 16)?,
        tail_size: ranged::<usize>(settings, "feeds.tail_mib", 1, 1 << 16)? << 20,
        replay_pauses: gateway::limits::FEED_REPLAY_PAUSES,
    };
    let is_enabled: bool = parse(settings, "feeds.enabled", "true or false")?;
    Ok(is_enabled.then_some(limits))
}

/// Where traces go.
fn collector(settings: &Settings) -> Result<Option<Collector>, ConfigError> {
    Collector::read(settings.value("log.otlp").0, otlp::IS_BUILT_IN)
        .map_err(|unusable| bad(settings, "log.otlp", &unusable.to_string()))
}

fn sink(settings: &Settings, sqlite: PathBuf) -> Result<SinkConfig, ConfigError> {
    match settings.value("settlement.sink").0 {
        "none" => Ok(SinkConfig::None),
        "sqlite" => Ok(SinkConfig::Sqlite(sqlite)),
        "postgres" => match settings.value("settlement.postgres").0 {
            "" => Err(bad(
                settings,
                "settlement.postgres",
                "the sink postgres needs a connection string",
            )),
            text => match text.strip_prefix('@') {
                None => Ok(SinkConfig::Postgres(text.to_owned())),
                Some(path) => std::fs::read_to_string(path)
                    .map(|text| SinkConfig::Postgres(text.trim().to_owned()))
                    .map_err(|error| bad(settings, "settlement.postgres", &error.to_string())),
            },
        },
        _ => Err(bad(settings, "settlement.sink", "sqlite, postgres or none")),
    }
}

fn bad(settings: &Settings, key: &'static str, cause: &str) -> ConfigError {
    let (value, origin) = settings.shown(key);
    ConfigError { key, value: value.to_owned(), origin: origin.clone(), cause: cause.to_owned() }
}

fn parse<T: FromStr>(
    settings: &Settings,
    key: &'static str,
    wanted: &str,
) -> Result<T, ConfigError> {
    settings.value(key).0.parse().map_err(|_| bad(settings, key, &format!("must be {wanted}")))
}

fn ranged<T: FromStr + PartialOrd + fmt::Display + Copy>(
    settings: &Settings,
    key: &'static str,
    min: T,
    max: T,
) -> Result<T, ConfigError> {
    let wanted = format!("a number from {min} to {max}");
    let value: T = parse(settings, key, &wanted)?;
    if value < min || value > max {
        return Err(bad(settings, key, &format!("must be {wanted}")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(assignment: &str) -> Result<Config, ConfigError> {
        let mut settings = Settings::defaults();
        settings.flags(&[assignment.to_owned()]).unwrap();
        Config::from_settings(&settings)
    }

    #[test]
    fn the_defaults_make_a_configuration() {
        let config = Config::from_settings(&Settings::defaults()).unwrap();
        assert_eq!(config.identity_dir, PathBuf::from("bezant-data/identity/server"));
        assert_eq!(config.sink, SinkConfig::Sqlite("bezant-data/settlement.sqlite".into()));
        assert_eq!(config.limits, gateway::RoleLimits::default());
        assert_eq!(config.receive_budget_size, gateway::limits::RECEIVE_BUDGET_SIZE);
        let feeds = config.feeds.unwrap();
        assert_eq!(feeds.followers_max, gateway::limits::FEEDS_MAX);
        assert_eq!(feeds.tail_size, gateway::limits::FEED_TAIL_SIZE);
        assert_eq!(with("feeds.enabled=false").unwrap().feeds, None);
        assert_eq!(config.public, None);
        let public = with("listen.public=0.0.0.0:80").unwrap().public;
        assert_eq!(public, Some(SocketAddr::from(([0, 0, 0, 0], 80))));
    }

    #[test]
    fn nought_turns_a_trigger_off() {
        let upkeep = |assignment| with(assignment).unwrap().upkeep;
        let usual = Upkeep {
            snapshot_interval: Some(Duration::from_secs(900)),
            snapshot_journal_bytes: Some(4 << 30),
            retention_enabled: true,
            retention_keep: Duration::from_secs(7 * 24 * 3_600),
            scrub_bytes_per_s: Some(16 << 20),
        };
        assert_eq!(upkeep("log.level=info"), usual);
        let by_size = Upkeep { snapshot_interval: None, ..usual };
        assert_eq!(upkeep("snapshot.interval_s=0"), by_size);
        let by_age = Upkeep { snapshot_journal_bytes: None, ..usual };
        assert_eq!(upkeep("snapshot.journal_mib=0"), by_age);
        assert_eq!(upkeep("scrub.mib_per_s=0"), Upkeep { scrub_bytes_per_s: None, ..usual });
        let short = Upkeep { retention_keep: Duration::ZERO, ..usual };
        assert_eq!(upkeep("retention.keep_h=0"), short);
        assert!(!upkeep("retention.enabled=false").retention_enabled);
    }

    #[test]
    fn a_connection_string_is_not_shown() {
        let secret = "postgres://bezant:canary@127.0.0.1/bezant";
        let mut settings = Settings::defaults();
        settings.flags(&[format!("settlement.postgres={secret}")]).unwrap();
        settings.flags(&["settlement.sink=postgres".into()]).unwrap();
        let config = Config::from_settings(&settings).unwrap();
        assert_eq!(config.sink, SinkConfig::Postgres(secret.into()));
        assert!(!format!("{config:?}").contains("canary"));
        let listed = config.shown.iter().find(|one| one.key == "settlement.postgres").unwrap();
        assert_eq!((&*listed.value, &*listed.origin), ("(hidden: may hold a password)", "flag"));
        let error = bad(&settings, "settlement.postgres", "cannot be used").to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn a_collector_with_a_password_is_refused_without_showing_it() {
        for url in ["http://me:canary@127.0.0.1:4318", "http://127.0.0.1:4318?key=canary"] {
            let error = with(&format!("log.otlp={url}")).unwrap_err().to_string();
            assert!(error.contains("log.otlp") && !error.contains("canary"), "{error}");
        }
        assert_eq!(with("log.otlp=").unwrap().otlp, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key_and_origin() {
        for assignment in [
            "listen.quic=here",
            "listen.https=7402",
            "listen.admin=0.0.0.0:7401",
            "listen.public=7403",
            "ring.requests=100",
            "ring.requests=32",
            "journal.segment_mib=-1",
            "journal.backend=io_uring",
            "settlement.sink=oracle",
            "settlement.sink=postgres",
            "settlement.postgres=@/nonexistent/dsn",
            "settlement.history=some",
            "clock.accept_step=maybe",
            "snapshot.interval_s=-1",
            "snapshot.journal_mib=some",
            "retention.keep_h=-",
            "retention.keep_h=9999999999",
            "retention.enabled=1",
            "scrub.mib_per_s=16777217",
            "limits.agent.in_flight=-1",
            "limits.peer.requests_per_s=4294967296",
            "gateway.receive_budget_mib=1",
            "feeds.enabled=1",
            "feeds.connections=0",
            "feeds.tail_mib=0",
            "log.otlp=https://127.0.0.1:4318",
        ] {
            let (key, _) = assignment.split_once('=').unwrap();
            let outcome = with(assignment);
            if assignment.starts_with("settlement.postgres") {
                assert!(outcome.is_ok(), "unused without the sink");
                continue;
            }
            let text = outcome.unwrap_err().to_string();
            let named = text.contains(key) || text.contains("settlement.postgres");
            assert!(named && text.contains('('), "{text}");
        }
    }
}
