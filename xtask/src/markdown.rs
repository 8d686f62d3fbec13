//! Just enough of Markdown to find headings and links: what GitHub and mdBook agree upon.
//!
//! Refuses to render anything. Invariant: what stands in code, fenced or between backticks, is
//! neither a heading nor a link.

use std::collections::{BTreeMap, BTreeSet};

/// One link or image, and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
    pub(crate) image: bool,
}

/// What a page offers to others and wants of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Page {
    pub(crate) links: Vec<Link>,
    /// Names by which both GitHub and mdBook find a place in the page.
    pub(crate) anchors: BTreeSet<String>,
}

/// Reads a page.
pub(crate) fn page(text: &str) -> Page {
    let mut page = Page::default();
    let (mut github, mut mdbook) = (Slugs::default(), Slugs::default());
    for (i, line) in prose(text) {
        if let Some(title) = heading(line) {
            let title = plain(title);
            let (one, other) =
                (github.next(&github_slug(&title)), mdbook.next(&mdbook_slug(&title)));
            if one == other {
                page.anchors.insert(one);
            }
        }
        links(&uncoded(line), i + 1, &mut page.links);
    }
    page
}

/// The lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<(char, usize)> = None;
    text.lines().enumerate().filter(move |(_, line)| {
        let line = line.trim_start();
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'));
        let count = mark.map_or(0, |mark| line.chars().take_while(|c| *c == mark).count());
        match fence {
            Some((open, least)) => {
                if mark == Some(open) && count >= least && line.trim_end().len() == count {
                    fence = None;
                }
                false
            }
            None if count >= 3 => {
                fence = mark.map(|mark| (mark, count));
                false
            }
            None => true,
        }
    })
}

/// The title, if the line is an ATX heading.
fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    (1..=6).contains(&level).then_some(title)?.strip_prefix(' ').map(str::trim)
}

/// A title as it is read: without the marks of code and emphasis, links by their words.
fn plain(title: &str) -> String {
    let mut out = String::new();
    let mut rest = title;
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        match link.split_once("](").and_then(|(words, to)| Some((words, to.split_once(')')?.1))) {
            Some((words, after)) => {
                out.push_str(words);
                rest = after;
            }
            None => {
                out.push('[');
                rest = link;
            }
        }
    }
    out.push_str(rest);
    out.retain(|c| !matches!(c, '`' | '*'));
    out
}

fn github_slug(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn mdbook_slug(title: &str) -> String {
    let kept = title.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || matches!(c, '_' | '-') => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Numbers names that come again.
#[derive(Default)]
struct Slugs(BTreeMap<String, usize>);

impl Slugs {
    fn next(&mut self, slug: &str) -> String {
        let seen = self.0.entry(slug.to_owned()).or_default();
        *seen += 1;
        if *seen == 1 { slug.to_owned() } else { format!("{slug}-{}", *seen - 1) }
    }
}

/// The line with what stands between backticks blanked.
fn uncoded(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        out.push_str(&rest[..at]);
        let ticks = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let inside = &rest[at + ticks..];
        let close = closing(inside, ticks);
        let Some(close) = close else {
            out.push_str(&rest[at..at + ticks]);
            rest = inside;
            continue;
        };
        out.push('_');
        rest = &inside[close + ticks..];
    }
    out + rest
}

/// Where a run of exactly so many backticks begins.
fn closing(text: &str, ticks: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let begin = at + found;
        let run = text[begin..].len() - text[begin..].trim_start_matches('`').len();
        if run == ticks {
            return Some(begin);
        }
        at = begin + run;
    }
    None
}

/// Inline links and images, and definitions of links.
fn links(line: &str, number: usize, found: &mut Vec<Link>) {
    for (at, _) in line.match_indices("](") {
        let Some((target, _)) = line[at + 2..].split_once(')') else { continue };
        // A title may follow.
        let target = target.split_whitespace().next().unwrap_or_default();
        let image = line[..opening(&line[..at])].ends_with('!');
        found.push(Link { line: number, target: target.to_owned(), image });
    }
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
    {
        let target = target.split_whitespace().next().unwrap_or_default();
        found.push(Link { line: number, target: target.to_owned(), image: false });
    }
}

/// Where the bracket opens that closes behind `text`; brackets within it come in pairs.
fn opening(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, sign) in text.char_indices().rev() {
        match sign {
            ']' => depth += 1,
            '[' if depth == 0 => return at,
            '[' => depth -= 1,
            _ => {}
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(text: &str) -> Vec<String> {
        page(text).links.into_iter().map(|link| link.target).collect()
    }

    #[test]
    fn links_images_and_definitions_are_found_outside_code() {
        let text = "a [b](c.md#d) ![e](f.svg \"title\") `[no](no.md)` [`x`](y.md)\n\
                    ```sh test\n[no](no.md)\n# no\n```\n~~~\n[no](no)\n~~~\n[z]: w.md\n";
        assert_eq!(targets(text), ["c.md#d", "f.svg", "y.md", "w.md"]);
        let found = page(text).links;
        assert_eq!((found[1].image, found[2].image, found[3].line), (true, false, 9));
        assert!(page(text).anchors.is_empty());
        let found = page("[![a](b.svg)](https://c.test)").links;
        let images: Vec<_> = found.iter().map(|link| (&*link.target, link.image)).collect();
        assert_eq!(images, [("b.svg", true), ("https://c.test", false)]);
    }

    #[test]
    fn a_fence_ends_with_its_own_mark_only() {
        assert_eq!(targets("````\n```\n[no](no)\n````\n[yes](yes)"), ["yes"]);
        assert_eq!(targets("a ``code ` [no](no)`` [yes](yes) ` [open](open)"), ["yes", "open"]);
    }

    #[test]
    fn anchors_are_those_that_both_readers_make() {
        let text = "# A, b: `c_d` & [e](f)\n## Same\n## Same\n##NoHeading\n## Ärger\n## Über x\n";
        let anchors: Vec<_> = page(text).anchors.into_iter().collect();
        // GitHub lowers every letter, mdBook those of ASCII alone.
        assert_eq!(anchors, ["a-b-c_d--e", "same", "same-1"]);
    }
}
