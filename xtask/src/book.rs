//! The book under `docs/`: every page is in its contents, every link in any page of the
//! repository leads somewhere, for GitHub and for mdBook alike.
//!
//! Refuses to follow links to other hosts. It reads lines, not Markdown: a link by a name that is
//! defined nowhere, or code over several lines, it does not see. Invariant: every page of the book
//! is reached, and every link in it that is seen leads to a file or heading that mdBook makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::markdown::{self, Link, Page};

pub(crate) const BOOK: &str = "docs";
const CONTENTS: &str = "docs/SUMMARY.md";
/// The first page: mdBook makes `index.html` of it and leaves links to it as they are.
const FRONT: &str = "docs/README.md";

/// What is wrong with the pages, which are named as from the root; `exists` knows all files.
pub(crate) fn findings(pages: &[(PathBuf, String)], exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let read: BTreeMap<&Path, Page> =
        pages.iter().map(|(path, text)| (path.as_path(), markdown::page(text))).collect();
    let mut found = Vec::new();
    for (path, page) in &read {
        for link in &page.links {
            if let Err(why) = leads(path, link, &read, exists) {
                found.push(format!("{}:{}: `{}` {why}", path.display(), link.line, link.target));
            }
        }
    }
    found.extend(contents(&read));
    found
}

/// Whether a link leads somewhere.
fn leads(
    from: &Path,
    link: &Link,
    pages: &BTreeMap<&Path, Page>,
    exists: &dyn Fn(&Path) -> bool,
) -> Result<(), &'static str> {
    if link.target.contains("://") || link.target.starts_with("mailto:") {
        return if link.image { Err("is an image of another host: put it here") } else { Ok(()) };
    }
    let (file, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
    let to = if file.is_empty() { from.to_owned() } else { resolved(from, file)? };
    if !exists(&to) {
        return Err("leads nowhere: there is no such file");
    }
    let in_book = |path: &Path| path.starts_with(BOOK);
    if in_book(from) && !in_book(&to) {
        return Err("leads out of the book: name the file between backticks");
    }
    if from != Path::new(CONTENTS) && in_book(from) && to == Path::new(FRONT) {
        return Err("leads to the front page, which mdBook makes under another name");
    }
    if anchor.is_empty() {
        return Ok(());
    }
    match pages.get(to.as_path()) {
        Some(page) if page.anchors.contains(anchor) => Ok(()),
        Some(_) => Err("leads to no heading of that page, by the rules of GitHub and mdBook"),
        None => Err("names a place in a file that is no page"),
    }
}

/// The file that a link names, as from the root.
fn resolved(from: &Path, file: &str) -> Result<PathBuf, &'static str> {
    let mut to = from.parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => to.push(name),
            Component::CurDir => {}
            Component::ParentDir if to.pop() => {}
            _ => return Err("leads out of the repository"),
        }
    }
    Ok(to)
}

/// Every page of the book is in its contents, once.
fn contents(pages: &BTreeMap<&Path, Page>) -> Vec<String> {
    let Some(contents) = pages.get(Path::new(CONTENTS)) else {
        return vec![format!("{CONTENTS}: missing: the book has no contents")];
    };
    let mut found = Vec::new();
    let mut listed = BTreeSet::new();
    for link in &contents.links {
        let to = resolved(Path::new(CONTENTS), &link.target).unwrap_or_default();
        if !listed.insert(to) {
            found.push(format!("{CONTENTS}:{}: `{}` stands here twice", link.line, link.target));
        }
    }
    for path in pages.keys().filter(|path| path.starts_with(BOOK)) {
        if *path != Path::new(CONTENTS) && !listed.contains(*path) {
            found.push(format!("{}: not in {CONTENTS}", path.display()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a tree of pages, beside which there are `docs/a.svg` and `x.rs`.
    fn of(rows: &[(&str, &str)]) -> Vec<String> {
        let pages: Vec<(PathBuf, String)> =
            rows.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        let exists = |path: &Path| {
            [Path::new("docs/a.svg"), Path::new("x.rs")].contains(&path)
                || pages.iter().any(|(page, _)| page == path)
        };
        findings(&pages, &exists)
    }

    #[test]
    fn a_whole_book_has_no_findings() {
        let found = of(&[
            ("README.md", "[book](docs/README.md) [code](x.rs) [web](https://a.test/b#c)"),
            ("docs/SUMMARY.md", "[Front](README.md)\n- [A](a.md)\n  - [B](in/b.md)"),
            ("docs/README.md", "[a](a.md)"),
            ("docs/a.md", "# One thing\n![p](a.svg) [b](in/b.md) [here](#one-thing)"),
            ("docs/in/b.md", "[up](../a.md#one-thing)"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_broken_link_is_found() {
        let found = of(&[
            ("README.md", "[a](docs/no.md)\n[b](docs/a.md#no)\n[c](../x)\n[d](x.rs#L1)"),
            ("docs/SUMMARY.md", "- [A](a.md)\n- [F](README.md)"),
            ("docs/README.md", ""),
            ("docs/a.md", "[e](../x.rs)\n[f](README.md)\n![g](no.svg)\n![h](https://a.test/b.svg)"),
        ]);
        let whys = [
            "no such file",
            "no heading",
            "out of the repository",
            "no page",
            "out of the book",
            "front page",
            "no such file",
            "another host",
        ];
        assert_eq!(found.len(), whys.len(), "{found:#?}");
        for (line, why) in found.iter().zip(whys) {
            assert!(line.contains(why), "{line} is not of {why}");
        }
        assert!(found[1].starts_with("README.md:2: "), "{}", found[1]);
    }

    #[test]
    fn every_page_is_in_the_contents_once() {
        let found = of(&[
            ("docs/SUMMARY.md", "- [A](a.md)\n- [A](./a.md)"),
            ("docs/a.md", ""),
            ("docs/b.md", ""),
        ]);
        let said = ["docs/SUMMARY.md:2: `./a.md` stands here twice", "docs/b.md: not in "];
        assert!(found.len() == 2 && found[0] == said[0] && found[1].starts_with(said[1]));
        assert!(of(&[("docs/a.md", "")])[0].contains("has no contents"));
    }
}
