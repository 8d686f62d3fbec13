//! `cargo xtask tidy`: the rules no compiler checks, over the whole tree.
//!
//! Refuses to change anything. Invariant: it needs no build and no git, so it also holds in an
//! unpacked archive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::code::{blanked, lines_with_word};
use crate::metadata::{self, Metadata};
use crate::{book, edges, rules};

/// Folders that hold nothing of ours.
const NOT_OURS: &[&str] = &[".git", "target", "corpus", "artifacts"];
/// Endings of the files whose words are checked.
const TEXT: &[&str] = &["rs", "toml", "md", "sh", "sql", "json", "csv", "py", "yml", "yaml", "run"];
/// Crates that must be unable to touch the world, by their own attributes.
const PURE: &[&str] = &["protocol", "engine"];
const UNSAFE_LIST: &str = "docs/unsafe.md";

/// Checks everything and prints each finding as `path:line: what`.
pub(crate) fn run() -> Result<(), String> {
    let found = findings(&metadata::read(false)?)?;
    for line in &found {
        println!("{line}");
    }
    if found.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    Err(format!("tidy: {} findings", found.len()))
}

fn findings(metadata: &Metadata) -> Result<Vec<String>, String> {
    let root = &metadata.root;
    let mut found: Vec<String> = metadata.edges.iter().filter_map(edges::refuse).collect();
    found.extend(licences(metadata));
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    let listed = unsafe_files(&fs::read_to_string(root.join(UNSAFE_LIST)).unwrap_or_default());
    let (mut sources, mut pages) = (Vec::new(), Vec::new());
    for path in files {
        let bytes = fs::read(root.join(&path)).map_err(|e| format!("{}: {e}", path.display()))?;
        let Ok(text) = String::from_utf8(bytes) else {
            found.push(format!("{}: not UTF-8", path.display()));
            continue;
        };
        let mut here = rules::text_rules(&text);
        let is = |ending: &str| path.extension().is_some_and(|e| e == ending);
        let (is_source, is_page) = (is("rs"), is("md"));
        if is_source {
            here.extend(rules::rust_rules(&text, is_test(&path), listed.contains(&path)));
        }
        found.extend(here.iter().map(|f| format!("{}:{}: {}", path.display(), f.line, f.what)));
        if is_source {
            sources.push((path, text));
        } else if is_page {
            pages.push((path, text));
        }
    }
    // Of the book a folder is no page: mdBook makes none of it.
    let is_there = |path: &Path| {
        let at = root.join(path);
        if path.starts_with(book::BOOK) { at.is_file() } else { at.exists() }
    };
    found.extend(book::findings(&pages, &is_there));
    found.extend(stale(&listed, &sources));
    found.extend(orphans(&sources));
    found.extend(impure(&sources));
    Ok(found)
}

/// Every crate has the licence meant for it, and ships its text where it is not the root's.
fn licences(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.source.is_none()) {
        let name = &package.name;
        let Some(meant) = edges::licence(name) else {
            found.push(format!("{name}: a crate that the table of edges does not know"));
            continue;
        };
        if package.licence.as_deref() != Some(meant) {
            found.push(format!("{name}: licence {:?}, meant is {meant}", package.licence));
        }
        if meant == "Apache-2.0" && !package.folder.join("LICENSE").is_file() {
            found.push(format!("{name}: LICENSE is missing; copy LICENSE-APACHE"));
        }
    }
    found
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let say = |e| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(say)? {
        let entry = entry.map_err(say)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(say)?);
        if kind.is_dir() {
            if !NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                walk(root, &path, files)?;
            }
        } else if kind.is_file() && is_text(&path) {
            files.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
        }
    }
    files.sort();
    Ok(())
}

fn is_text(path: &Path) -> bool {
    let named = |ending: &str| path.extension().is_some_and(|e| e == ending);
    TEXT.iter().any(|ending| named(ending)) || path.ends_with(".ci/run")
}

/// Files of tests alone: integration tests, benchmarks, and unit tests beside their file.
fn is_test(path: &Path) -> bool {
    let folder = path.iter().any(|part| part == "tests" || part == "benches");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let bench_crate_source = path.starts_with("benches/src");
    (folder && !bench_crate_source) || stem.ends_with("_test") || stem == "tests"
}

/// The Rust files that docs/unsafe.md names between backticks.
fn unsafe_files(list: &str) -> BTreeSet<PathBuf> {
    list.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.ends_with(".rs"))
        .map(Into::into)
        .collect()
}

/// Rows of docs/unsafe.md whose file is gone or has become safe.
fn stale(listed: &BTreeSet<PathBuf>, sources: &[(PathBuf, String)]) -> Vec<String> {
    let is_unsafe = |text: &str| !lines_with_word(&blanked(text), "unsafe").is_empty();
    let holds = |file: &PathBuf| sources.iter().any(|(path, text)| path == file && is_unsafe(text));
    let gone = listed.iter().filter(|file| !holds(file));
    gone.map(|file| format!("{UNSAFE_LIST}: `{}` has no unsafe code", file.display())).collect()
}

/// Sources that no other file of their crate declares, so that they are never compiled.
fn orphans(sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, _) in sources {
        let Some((home, stem)) = declared_as(path) else {
            continue;
        };
        let declaration = format!("mod {stem};");
        let by_path = format!("{stem}.rs\"]");
        let declared = sources.iter().any(|(other, text)| {
            other.starts_with(&home)
                && other != path
                && (text.contains(&declaration) || text.contains(&by_path))
        });
        if !declared {
            found.push(format!("{}: no `{declaration}` anywhere in its crate", path.display()));
        }
    }
    found
}

/// The folder whose files must declare this one as a module, and its name there.
fn declared_as(path: &Path) -> Option<(PathBuf, String)> {
    let mut parts = path.iter();
    let (krate, section) = (parts.next()?, parts.next()?);
    if section != "src" && section != "tests" {
        return None;
    }
    let inside: Vec<_> = parts.collect();
    // Cargo finds these by itself.
    if inside.first().is_some_and(|first| *first == "bin")
        || (section == "tests" && inside.len() == 1)
    {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let name = match stem {
        "lib" | "main" if inside.len() == 1 => return None,
        "main" if section == "tests" => return None,
        "mod" => path.parent()?.file_name()?.to_str()?,
        stem => stem,
    };
    Some((Path::new(krate).join(section), name.to_owned()))
}

/// The pure crates say in their first attributes that they cannot touch the world.
fn impure(sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources {
        if PURE.iter().any(|name| *path == Path::new(name).join("src/lib.rs")) {
            for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
                if !text.lines().any(|line| line == attribute) {
                    found.push(format!("{}: `{attribute}` is missing", path.display()));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(rows: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
        rows.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect()
    }

    #[test]
    fn the_edges_of_this_workspace_are_the_drawn_ones() {
        let found = metadata::read(false).unwrap();
        let refused: Vec<String> = found.edges.iter().filter_map(edges::refuse).collect();
        assert!(found.edges.len() > 10, "the edges were not read: {:?}", found.edges);
        assert_eq!(refused, Vec::<String>::new());
    }

    #[test]
    fn the_tree_is_tidy() {
        let found = findings(&metadata::read(false).unwrap()).unwrap();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }

    #[test]
    fn a_file_nobody_declares_is_an_orphan() {
        let tree = files(&[
            ("a/src/lib.rs", "mod b;\nmod c;\n#[cfg(test)]\n#[path = \"b_test.rs\"]\nmod tests;"),
            ("a/src/b.rs", ""),
            ("a/src/b_test.rs", ""),
            ("a/src/c/mod.rs", ""),
            ("a/src/dead.rs", ""),
            ("a/src/bin/tool.rs", ""),
            ("a/tests/a.rs", "mod crash;"),
            ("a/tests/a/crash.rs", ""),
            ("a/tests/main/main.rs", ""),
            ("b/src/b.rs", ""),
        ]);
        let found = orphans(&tree);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a/src/dead.rs") && found[1].starts_with("b/src/b.rs"));
    }

    #[test]
    fn a_row_of_the_unsafe_list_needs_its_unsafe() {
        let listed = unsafe_files("| `a/src/a.rs` | `Map` | why |\n| `a/src/b.rs` | | |");
        let tree = files(&[("a/src/a.rs", "unsafe {}"), ("a/src/b.rs", "// unsafe")]);
        assert_eq!(stale(&listed, &tree), ["docs/unsafe.md: `a/src/b.rs` has no unsafe code"]);
    }

    #[test]
    fn a_pure_crate_says_so() {
        let attributes = "//! Head.\n#![no_std]\n#![forbid(unsafe_code)]\n";
        assert!(impure(&files(&[("engine/src/lib.rs", attributes)])).is_empty());
        assert_eq!(impure(&files(&[("protocol/src/lib.rs", "//! Head.\n")])).len(), 2);
        assert!(impure(&files(&[("server/src/lib.rs", "")])).is_empty());
    }

    #[test]
    fn test_files_are_told_from_sources() {
        for path in ["a/tests/a.rs", "a/src/x_test.rs", "a/src/x/tests.rs", "benches/benches/b.rs"]
        {
            assert!(is_test(Path::new(path)), "{path}");
        }
        for path in ["a/src/lib.rs", "benches/src/lib.rs", "a/src/latest.rs"] {
            assert!(!is_test(Path::new(path)), "{path}");
        }
    }
}
