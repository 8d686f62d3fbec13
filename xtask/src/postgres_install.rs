//! Finds the PostgreSQL programs, or installs them, and the user they may run as.
//!
//! Refuses to guess: it says what it found or did. Invariant: PostgreSQL never runs as root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps;

/// Where the programs are and how to run them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Programs {
    /// The folder with `initdb`, `postgres` and `pg_ctl`.
    pub(crate) folder: PathBuf,
    /// Words before a command that give up root; empty when we are not root.
    pub(crate) step_down: Vec<String>,
    /// `user:group` that owns the cluster's files; empty when we are not root.
    pub(crate) owner: String,
}

/// Finds what is needed, installing it when root and missing.
pub(crate) fn ensure() -> Result<Programs, String> {
    let root = steps::output(Command::new("id").arg("-u"))? == "0";
    let folder = match find() {
        Some(folder) => folder,
        None if root => {
            install()?;
            find().ok_or("postgresql was installed, but its programs were not found")?
        }
        None => {
            return Err("the tests need PostgreSQL: `initdb` is neither on PATH nor below \
                        /usr/lib/postgresql; install your distribution's `postgresql` package, \
                        or run this as root so that it can"
                .to_owned());
        }
    };
    println!("postgres: programs in {}", folder.display());
    if !root {
        return Ok(Programs { folder, step_down: Vec::new(), owner: String::new() });
    }
    step_down(folder)
}

fn find() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin")).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    choose(std::env::split_paths(&path).collect(), installed)
}

/// PATH first, as its owner wants; then the newest of the installed versions.
fn choose(path: Vec<PathBuf>, mut installed: Vec<PathBuf>) -> Option<PathBuf> {
    let number = |folder: &PathBuf| -> u32 {
        let version = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    installed.sort_by_key(|folder| std::cmp::Reverse(number(folder)));
    let folders = path.into_iter().chain(installed);
    // A link such as /usr/local/bin/initdb leads to the folder that also has pg_ctl.
    let mut homes = folders.filter_map(|folder| {
        let program = std::fs::canonicalize(folder.join("initdb")).ok()?;
        program.parent().map(Path::to_owned)
    });
    homes.find(|folder| ["postgres", "pg_ctl"].iter().all(|name| folder.join(name).is_file()))
}

fn install() -> Result<(), String> {
    println!("postgres: not on this machine; installing the distribution's package as root");
    apt_install("postgresql")
        .map_err(|why| format!("cannot install PostgreSQL, install it by hand: {why}"))
}

/// Installs one package of the distribution; we are root.
pub(crate) fn apt_install(package: &str) -> Result<(), String> {
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        // Another installation may hold the lock for a while.
        command.args(["-o", "DPkg::Lock::Timeout=300"]).args(words);
        command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        steps::run(&mut command)
    };
    apt(&["update"])?;
    apt(&["install", "-y", "--no-install-recommends", package])
}

/// Root runs the cluster as the user `postgres`, or as `nobody` where there is none.
fn step_down(folder: PathBuf) -> Result<Programs, String> {
    let id = |what: &str, user: &str| steps::output(Command::new("id").args([what, user]));
    let users = ["postgres", "nobody"];
    let user = users.into_iter().find(|user| id("-u", user).is_ok());
    let user = user.ok_or("PostgreSQL refuses to run as root, and no user `postgres` exists")?;
    let (uid, gid) = (id("-u", user)?, id("-g", user)?);
    let ways = [
        vec![
            "setpriv".into(),
            format!("--reuid={uid}"),
            format!("--regid={gid}"),
            "--clear-groups".into(),
        ],
        vec!["runuser".to_owned(), "-u".to_owned(), user.to_owned(), "--".to_owned()],
    ];
    let works = |way: &Vec<String>| {
        steps::output(Command::new(&way[0]).args(&way[1..]).arg("true")).is_ok()
    };
    let Some(step_down) = ways.into_iter().find(works) else {
        return Err(format!("cannot become `{user}`: neither setpriv nor runuser works here"));
    };
    println!("postgres: we are root, so it runs as `{user}` through {}", step_down[0]);
    Ok(Programs { folder, step_down, owner: format!("{uid}:{gid}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_comes_first_and_then_the_newest_version_that_is_whole() {
        let base = std::env::temp_dir().join(format!("bezant-choose-{}", std::process::id()));
        let fill = |folder: &str, programs: &[&str]| {
            let folder = base.join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            for program in programs {
                std::fs::write(folder.join(program), "").unwrap();
            }
            folder
        };
        let all = ["initdb", "postgres", "pg_ctl"];
        let on_path = fill("path", &all);
        let versions = vec![fill("9/bin", &all), fill("17/bin", &["initdb"]), fill("15/bin", &all)];
        let newest = std::fs::canonicalize(&versions[2]).unwrap();
        let first = std::fs::canonicalize(&on_path).unwrap();
        assert_eq!(choose(vec![base.join("none"), on_path], versions.clone()), Some(first));
        assert_eq!(choose(vec![base.join("none")], versions), Some(newest));
        assert_eq!(choose(vec![], vec![base.join("none")]), None);
        std::fs::remove_dir_all(&base).unwrap();
    }
}
