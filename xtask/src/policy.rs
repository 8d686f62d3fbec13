//! `cargo xtask policy`: licences, sources, bans, versions of everything in the lock file.
//!
//! Refuses to ask the network: it reads `cargo metadata --locked`. Invariant: `deny.toml` says
//! the same to cargo-deny, and a test compares the two.

use crate::metadata::{self, Package};
use crate::{spdx, steps};

/// Licences that may enter an AGPL program without more than a notice.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that may not be in the tree, with what to use instead.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "one TLS provider: ring"),
    ("aws-lc-sys", "one TLS provider: ring"),
    ("bincode", "unmaintained; use zerocopy and written formats"),
    ("native-tls", "rustls only"),
    ("openssl-sys", "rustls only"),
    ("rustls-pemfile", "unmaintained; use rustls_pki_types::pem"),
];

/// Heavy or security-bearing crates: two versions would mean two sets of bugs and types.
const SINGLE: &[&str] = &[
    "bytes",
    "clap",
    "hyper",
    "libsqlite3-sys",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "ring",
    "rusqlite",
    "rustls",
    "rustls-webpki",
    "serde",
    "tokio",
    "tokio-postgres",
    "zerocopy",
];

/// Versions below which an advisory applies.
const SAFE_FROM: &[(&str, &str)] = &[
    ("anyhow", "1.0.103"),
    ("bytes", "1.11.1"),
    ("crossbeam-channel", "0.5.15"),
    ("h2", "0.4.16"),
    ("memmap2", "0.9.11"),
    ("postgres-protocol", "0.6.12"),
    ("quinn-proto", "0.11.15"),
    ("rkyv", "0.8.17"),
    ("rustls-webpki", "0.103.13"),
    ("tokio-postgres", "0.7.18"),
    ("tracing-subscriber", "0.3.20"),
];

/// Checks the lock file; then lets cargo-deny check it too, where there is one.
pub(crate) fn run() -> Result<(), String> {
    let metadata = metadata::read(true)?;
    let found = findings(&metadata.packages);
    for line in &found {
        println!("{line}");
    }
    if !found.is_empty() {
        return Err(format!("policy: {} findings", found.len()));
    }
    println!("policy: {} packages, nothing to say", metadata.packages.len());
    if !steps::has_subcommand("deny") {
        println!("policy: cargo-deny is not installed; the same rules were checked from metadata");
        return Ok(());
    }
    steps::run(steps::cargo().args(["deny", "check", "bans", "licenses", "sources"]))
}

fn findings(packages: &[Package]) -> Vec<String> {
    let foreign: Vec<&Package> = packages.iter().filter(|p| p.source.is_some()).collect();
    let mut found: Vec<String> = foreign.iter().filter_map(|package| refuse(package)).collect();
    for name in SINGLE {
        let versions: Vec<&str> =
            foreign.iter().filter(|p| p.name == *name).map(|p| p.version.as_str()).collect();
        if versions.len() > 1 {
            found.push(format!("{name}: {versions:?} are in the tree; bring it down to one"));
        }
    }
    found
}

fn refuse(package: &Package) -> Option<String> {
    let Package { name, version, .. } = package;
    let registry = package.source.as_deref().is_some_and(|from| from.starts_with("registry+"));
    if !registry {
        return Some(format!("{name} {version}: comes from {:?}, not a registry", package.source));
    }
    if let Some((_, instead)) = BANNED.iter().find(|(banned, _)| banned == name) {
        return Some(format!("{name} {version}: banned; {instead}"));
    }
    if let Some((_, safe)) = SAFE_FROM.iter().find(|(known, _)| known == name)
        && numbers(version) < numbers(safe)
    {
        return Some(format!("{name} {version}: has an advisory; at least {safe}"));
    }
    let Some(licence) = &package.licence else {
        return Some(format!("{name} {version}: names no licence"));
    };
    match spdx::allows(licence, LICENCES) {
        Ok(true) => None,
        Ok(false) => Some(format!("{name} {version}: licence {licence} is not accepted")),
        Err(why) => Some(format!("{name} {version}: licence unreadable: {why}")),
    }
}

/// The dotted numbers of a version; a pre-release sorts below its release.
fn numbers(version: &str) -> (Vec<u64>, bool) {
    let plain = version.split('+').next().unwrap_or(version);
    let (release, tag) = plain.split_once('-').map_or((plain, None), |(r, t)| (r, Some(t)));
    (release.split('.').map(|part| part.parse().unwrap_or(0)).collect(), tag.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, licence: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            licence: Some(licence.into()),
            source: Some("registry+x".into()),
            folder: std::path::PathBuf::new(),
        }
    }

    #[test]
    fn good_packages_pass() {
        let tree = [
            package("tokio", "1.54.1", "MIT"),
            package("bytes", "1.11.1", "MIT"),
            package("syn", "1.0.0", "MIT OR Apache-2.0"),
            package("syn", "2.0.0", "MIT OR Apache-2.0"),
        ];
        assert_eq!(findings(&tree), Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        for tree in [
            vec![package("a", "1.0.0", "GPL-3.0-only")],
            vec![package("a", "1.0.0", "MIT OR")],
            vec![Package { licence: None, ..package("a", "1.0.0", "") }],
            vec![Package { source: Some("git+x".into()), ..package("a", "1.0.0", "MIT") }],
            vec![package("aws-lc-sys", "1.0.0", "MIT")],
            vec![package("bytes", "1.9.9", "MIT")],
            vec![package("bytes", "1.11.1-rc.1", "MIT")],
            vec![package("tokio", "1.0.0", "MIT"), package("tokio", "2.0.0", "MIT")],
        ] {
            assert_eq!(findings(&tree).len(), 1, "{tree:?}");
        }
    }

    #[test]
    fn in_house_crates_are_not_judged() {
        let ours = Package { source: None, ..package("ring", "0.1.0", "AGPL-3.0-only") };
        assert!(findings(&[ours, package("ring", "0.17.14", "Apache-2.0 AND ISC")]).is_empty());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.9.0") < numbers("1.10.0"));
        assert!(numbers("1.0.0-rc.1") < numbers("1.0.0"));
        assert_eq!(numbers("1.2.3+x"), numbers("1.2.3"));
    }

    #[test]
    fn deny_toml_says_the_same() {
        let deny = include_str!("../../deny.toml");
        let quoted = |from: &str, to: &str| -> Vec<String> {
            let (_, rest) = deny.split_once(from).expect("the section is there");
            let (section, _) = rest.split_once(to).expect("the section ends");
            section.lines().filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
        };
        assert_eq!(quoted("allow = [", "]"), LICENCES);
        let mut expected: Vec<String> = BANNED.iter().map(|(name, _)| (*name).to_owned()).collect();
        // One name, two crates: ours and the cryptographic one. cargo-deny cannot tell them apart.
        let single = SINGLE.iter().filter(|name| **name != "ring");
        expected.extend(single.map(|name| (*name).to_owned()));
        expected.extend(SAFE_FROM.iter().map(|(name, safe)| format!("{name}:<{safe}")));
        assert_eq!(quoted("deny = [", "\n]"), expected);
    }
}
