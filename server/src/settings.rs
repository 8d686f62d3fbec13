//! The settings: one table with every key, its default and its meaning, filled in layers
//! (default < TOML file < environment < flags) that remember where each value came from.
//! Unknown keys are refused in every layer. Typed values are `config.rs`'s.

use std::collections::BTreeMap;
use std::path::Path;

/// One setting: what may be written in the file, the environment and `--set`.
pub(crate) struct Setting {
    /// `section.name` in the file; `BEZANT_SECTION_NAME` in the environment.
    pub(crate) key: &'static str,
    /// Value when nothing sets it.
    pub(crate) default: &'static str,
    /// What it means, with its unit.
    pub(crate) meaning: &'static str,
}

impl Setting {
    /// Whether a value must not be printed: it may hold a password.
    fn is_secret(&self, value: &str) -> bool {
        match self.key {
            "settlement.postgres" => !value.is_empty() && !value.starts_with('@'),
            // Refused, and the refusal quotes it.
            "log.otlp" => value.contains(['@', '?']),
            _ => false,
        }
    }
}

const fn setting(key: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { key, default, meaning }
}

/// Every setting, as `config show` lists them.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(LIMITS.as_flattened())
}

/// What one identity of a role may ask for.
macro_rules! limits_of {
    ($role:literal: $who:literal, $requests:literal, $bytes:literal, $flying:literal,
     $doors:literal) => {
        [
            setting(
                concat!("limits.", $role, ".requests_per_s"),
                $requests,
                concat!("requests a second of ", $who, "; 0: no limit"),
            ),
            setting(
                concat!("limits.", $role, ".bytes_per_s"),
                $bytes,
                concat!("request bytes a second of ", $who, "; 0: no limit"),
            ),
            setting(
                concat!("limits.", $role, ".in_flight"),
                $flying,
                concat!("unanswered requests of ", $who, "; 0: no limit"),
            ),
            setting(
                concat!("limits.", $role, ".connections"),
                $doors,
                concat!("connections of ", $who, "; 0: no limit"),
            ),
        ]
    };
}

/// Those of the roles: requests and bytes a second, unanswered requests, connections.
const LIMITS: &[[Setting; 4]] = &[
    limits_of!("agent": "an agent", "1000", "8388608", "256", "16"),
    limits_of!("registry": "a registry", "200000", "1073741824", "16384", "256"),
    limits_of!("peer": "another frame", "20000", "268435456", "4096", "64"),
    limits_of!("mint": "a mint", "200000", "1073741824", "16384", "256"),
    limits_of!("admin": "an admin", "500", "4194304", "64", "8"),
    limits_of!("auditor": "an auditor", "5000", "8388608", "256", "16"),
];

/// Those of the process.
const SETTINGS: &[Setting] = &[
    setting(
        "data.dir",
        "bezant-data",
        "directory of journal, identities and the embedded database",
    ),
    setting("listen.quic", "127.0.0.1:7400", "address of the QUIC door"),
    setting("listen.https", "127.0.0.1:7402", "address of the HTTPS door"),
    setting("listen.admin", "127.0.0.1:7401", "loopback address of /livez, /readyz and /metrics"),
    setting(
        "listen.public",
        "",
        "address of the public supply page, plain HTTP for everybody; empty: none",
    ),
    setting(
        "identity.dir",
        "",
        "directory of svid.pem, svid.key, bundle.pem; empty: <data.dir>/identity/server",
    ),
    setting("journal.segment_mib", "128", "size of a journal segment in MiB"),
    setting(
        "journal.backend",
        "auto",
        "direct: past the page cache; mapped: a memory map; auto: direct where the disk can",
    ),
    setting(
        "snapshot.interval_s",
        "900",
        "seconds from one snapshot to the next, if anything was executed; 0: not by age",
    ),
    setting(
        "snapshot.journal_mib",
        "4096",
        "MiB of journal from one snapshot to the next; 0: not by size",
    ),
    setting(
        "retention.enabled",
        "true",
        "remove journal segments that nothing needs any more; false: only snapshots",
    ),
    setting(
        "retention.keep_h",
        "168",
        "hours of journal and snapshots to keep; 0: only what a start and SQL need",
    ),
    setting(
        "scrub.mib_per_s",
        "16",
        "MiB a second of sealed segments and snapshots to read again and verify; 0: none",
    ),
    setting(
        "memory.reserve_mib",
        "256",
        "memory taken and touched at the start, so that a busy frame waits for none, in MiB",
    ),
    setting("ring.requests", "1024", "requests in the ring, a power of two"),
    setting("ring.pool_mib", "128", "memory for requests in flight, in MiB"),
    setting("settlement.sink", "sqlite", "sqlite, postgres or none"),
    setting(
        "settlement.sqlite",
        "",
        "file of the embedded database; empty: <data.dir>/settlement.sqlite",
    ),
    setting("settlement.postgres", "", "connection string, or @file to read it from a file"),
    setting("settlement.interval_ms", "100", "time between cuts in milliseconds"),
    setting(
        "settlement.share_max",
        "25",
        "share of the time that SQL may take, in percent; beyond it cuts come less often",
    ),
    setting("settlement.history", "none", "none: balances only; full: postings and string keys"),
    setting(
        "clock.accept_step",
        "false",
        "accept a start outside -5 s to +24 h of the journal's last time",
    ),
    setting("gateway.workers", "1", "threads of the front doors"),
    setting("gateway.connections", "512", "connections at once"),
    setting(
        "gateway.receive_budget_mib",
        "256",
        "memory that clients may have sent and nobody has taken, in MiB",
    ),
    setting("feeds.enabled", "true", "serve feeds of the history"),
    setting("feeds.connections", "1024", "feeds at once"),
    setting(
        "feeds.tail_mib",
        "64",
        "memory for the latest history while somebody follows it, in MiB",
    ),
    setting("log.level", "info", "filter of the log, as in tracing's EnvFilter"),
    setting("log.format", "text", "text or json"),
    setting(
        "log.otlp",
        "",
        "collector of traces on this machine, as http://127.0.0.1:4318; empty: none",
    ),
];

/// A configuration file that changes nothing: every setting with its meaning and its default.
pub(crate) fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    let mut before = "";
    for Setting { key, default, meaning } in all() {
        let (section, name) = key.rsplit_once('.').expect("every key has a section");
        if section != before {
            text.push_str(&format!("\n[{section}]\n"));
            before = section;
        }
        let is_bare = default.parse::<bool>().is_ok() || default.parse::<i64>().is_ok();
        let value = if is_bare { (*default).to_owned() } else { format!("{default:?}") };
        text.push_str(&format!("# {meaning}\n{name} = {value}\n"));
    }
    text
}

/// What stands above it.
const EXAMPLE_HEAD: &str = "\
# Configuration of a frame: every setting with its meaning and its default. Leave out what you do
# not change. `bezant config show` prints what holds and where it was set, `bezant config check`
# says whether it can be used, and `bezant config example` prints this file.
#
# What is set here is overruled by the environment (BEZANT_SECTION_NAME) and that by the command
# line (--set section.name=value). No setting can change an outcome: what can is journaled, chosen
# by `bezant init --parameter` and changed by `configure`.
";

/// Which layer set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The built-in default.
    Default,
    /// The configuration file.
    File(String),
    /// An environment variable.
    Environment(String),
    /// The command line.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Why the layers cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}; create it or drop --config")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not TOML: line {line}: {cause}")]
    Toml {
        /// Which.
        path: String,
        /// Where.
        line: usize,
        /// Why; never the line itself, which may hold a password.
        cause: String,
    },
    /// No setting has this key.
    #[error("{origin}: no setting is named {key}{}; `config show` lists them all", near(.key))]
    Unknown {
        /// The key.
        key: String,
        /// Where it was written.
        origin: Origin,
    },
    /// A value that is no string, number or boolean.
    #[error("{origin}: {key} must be a string, a number or a boolean")]
    Shape {
        /// The key.
        key: String,
        /// Where it was written.
        origin: Origin,
    },
    /// `--set` without an equals sign.
    #[error("--set wants key=value, got {0:?}")]
    Assignment(String),
}

fn near(key: &str) -> String {
    let tail = key.rsplit('.').next().unwrap_or(key);
    all()
        .find(|setting| setting.key.ends_with(tail) || setting.key.starts_with(key))
        .map_or_else(String::new, |setting| format!(" (did you mean {}?)", setting.key))
}

/// Whether settings begin with `section` and a point.
fn has_under(section: &str) -> bool {
    let under = |key: &str| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
    all().any(|setting| under(setting.key))
}

/// What follows `BEZANT_` in the variable of a setting.
fn variable_of(key: &str) -> String {
    key.replace('.', "_").to_ascii_uppercase()
}

/// Every setting's value and origin.
#[derive(Clone, Debug)]
pub(crate) struct Settings(BTreeMap<&'static str, (String, Origin)>);

impl Settings {
    /// The defaults alone.
    pub(crate) fn defaults() -> Self {
        let entry =
            |setting: &Setting| (setting.key, (setting.default.to_owned(), Origin::Default));
        Self(all().map(entry).collect())
    }

    /// Lays a TOML file over what is there.
    pub(crate) fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Read { path: name.clone(), source })?;
        self.toml(&text, &name)
    }

    fn toml(&mut self, text: &str, name: &str) -> Result<(), SettingsError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
            SettingsError::Toml { path: name.to_owned(), line, cause: error.message().to_owned() }
        })?;
        self.lay(table, "", &Origin::File(name.to_owned()))
    }

    /// Sets what a table and the tables in it hold.
    fn lay(
        &mut self,
        table: toml::Table,
        prefix: &str,
        origin: &Origin,
    ) -> Result<(), SettingsError> {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let text = match value {
                toml::Value::Table(table) if has_under(&key) => {
                    self.lay(table, &format!("{key}."), origin)?;
                    continue;
                }
                _ if prefix.is_empty() => {
                    return Err(SettingsError::Unknown { key, origin: origin.clone() });
                }
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Boolean(truth) => truth.to_string(),
                _ => return Err(SettingsError::Shape { key, origin: origin.clone() }),
            };
            self.set(&key, text, origin.clone())?;
        }
        Ok(())
    }

    /// Lays `BEZANT_SECTION_NAME` variables over what is there; others with that prefix are
    /// refused, except the path of the file (`BEZANT_CONFIG`) and those of tests (`BEZANT_TEST_…`).
    pub(crate) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (name, value) in variables {
            let Some(tail) = name.strip_prefix("BEZANT_") else {
                continue;
            };
            if tail == "CONFIG" || tail.starts_with("TEST_") {
                continue;
            }
            let known = all().find(|setting| variable_of(setting.key) == tail);
            let unknown = || tail.to_ascii_lowercase().replacen('_', ".", 1);
            let key = known.map_or_else(unknown, |setting| setting.key.to_owned());
            self.set(&key, value, Origin::Environment(name))?;
        }
        Ok(())
    }

    /// Lays `key=value` assignments of the command line over what is there.
    pub(crate) fn flags(&mut self, assignments: &[String]) -> Result<(), SettingsError> {
        for assignment in assignments {
            let (key, value) = assignment
                .split_once('=')
                .ok_or_else(|| SettingsError::Assignment(assignment.clone()))?;
            self.set(key, value.to_owned(), Origin::Flag)?;
        }
        Ok(())
    }

    /// Sets one value.
    pub(crate) fn set(
        &mut self,
        key: &str,
        value: String,
        origin: Origin,
    ) -> Result<(), SettingsError> {
        let known = all().find(|setting| setting.key == key);
        let Some(setting) = known else {
            return Err(SettingsError::Unknown { key: key.to_owned(), origin });
        };
        self.0.insert(setting.key, (value, origin));
        Ok(())
    }

    /// As [`Self::value`], with what must not be printed hidden.
    pub(crate) fn shown(&self, key: &str) -> (&str, &Origin) {
        let (value, origin) = self.value(key);
        if all().any(|setting| setting.key == key && setting.is_secret(value)) {
            return ("(hidden: may hold a password)", origin);
        }
        (value, origin)
    }

    /// All of them, with what must not be printed hidden.
    pub(crate) fn list(&self) -> Vec<gateway::Setting> {
        let listed = |setting: &'static Setting| {
            let (value, origin) = self.shown(setting.key);
            let (value, origin) = (value.to_owned(), origin.to_string());
            gateway::Setting { key: setting.key, value, origin, meaning: setting.meaning }
        };
        all().map(listed).collect()
    }

    /// A value and where it came from.
    pub(crate) fn value(&self, key: &str) -> (&str, &Origin) {
        let (value, origin) = self.0.get(key).expect("every key asked for is a setting's");
        (value, origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win_and_say_where_they_are() {
        let mut settings = Settings::defaults();
        assert_eq!(settings.value("listen.quic"), ("127.0.0.1:7400", &Origin::Default));
        settings.toml("[listen]\nquic = \"0.0.0.0:1\"\n[ring]\nrequests = 64", "b.toml").unwrap();
        assert_eq!(settings.value("ring.requests"), ("64", &Origin::File("b.toml".into())));
        let variable = ("BEZANT_LISTEN_QUIC".to_owned(), "0.0.0.0:2".to_owned());
        settings.environment([variable].into_iter()).unwrap();
        assert_eq!(settings.value("listen.quic").0, "0.0.0.0:2");
        settings.flags(&["listen.quic=0.0.0.0:3".into()]).unwrap();
        assert_eq!(settings.value("listen.quic"), ("0.0.0.0:3", &Origin::Flag));
    }

    #[test]
    fn the_example_sets_everything_to_what_it_is() {
        const HINT: &str = "write it anew: bezant config example > deploy/bezant.toml";
        let file = include_str!("../../deploy/bezant.toml");
        assert!(example() == file, "deploy/bezant.toml is not the example; {HINT}");
        let mut settings = Settings::defaults();
        settings.toml(file, "bezant.toml").unwrap();
        for setting in all() {
            let (value, origin) = settings.value(setting.key);
            assert_eq!(value, setting.default, "{}", setting.key);
            assert_eq!(origin, &Origin::File("bezant.toml".into()), "{}", setting.key);
        }
        crate::config::Config::from_settings(&settings).unwrap();
    }

    #[test]
    fn unknown_keys_are_refused_in_every_layer() {
        let mut settings = Settings::defaults();
        let text = settings.toml("[listen]\nquik = 1", "b.toml").unwrap_err().to_string();
        assert!(text.contains("listen.quik") && text.contains("b.toml"), "{text}");
        let text = settings.toml("[listen]\n", "b.toml");
        assert!(text.is_ok(), "an empty section sets nothing");
        let variable = ("BEZANT_LISTEN_QUIK".to_owned(), String::new());
        assert!(settings.environment([variable].into_iter()).is_err());
        assert!(settings.flags(&["nope=1".into()]).is_err());
        assert!(settings.flags(&["nope".into()]).is_err());
        assert!(settings.toml("[listen]\nquic = [1]", "b.toml").is_err());
    }

    #[test]
    fn a_broken_file_is_not_quoted() {
        let mut settings = Settings::defaults();
        let text = "[settlement]\npostgres = \"postgres://bezant:canary@db/bezant\nsink = \"none\"";
        let error = settings.toml(text, "b.toml").unwrap_err().to_string();
        assert!(error.contains("b.toml") && error.contains("line 2"), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn sections_may_lie_in_sections() {
        let mut settings = Settings::defaults();
        let text = "[limits.agent]\nin_flight = 7\n[limits]\nmint = { connections = 3 }";
        settings.toml(text, "b.toml").unwrap();
        assert_eq!(settings.value("limits.agent.in_flight").0, "7");
        assert_eq!(settings.value("limits.mint.connections").0, "3");
        let text = settings.toml("[limits.nobody]\nin_flight = 7", "b.toml").unwrap_err();
        assert!(text.to_string().contains("limits.nobody"), "{text}");
        assert!(settings.toml("limits = 3", "b.toml").is_err());
    }

    #[test]
    fn a_name_reaches_its_key_through_the_environment() {
        for setting in all() {
            let name = format!("BEZANT_{}", variable_of(setting.key));
            let mut settings = Settings::defaults();
            settings.environment([(name, "x".to_owned())].into_iter()).unwrap();
            assert_eq!(settings.value(setting.key).0, "x");
        }
    }
}
