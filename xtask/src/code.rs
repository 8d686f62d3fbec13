//! Rust text with its comments and literals blanked, so that rules look at code only.
//!
//! Refuses to understand more of the language than that. Invariant: the blanked text has the same
//! lines as the original, so a finding's line number is the reader's line number.

/// Replaces every comment and the inside of every string and character literal by spaces.
pub(crate) fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match literal_end(&chars, at) {
            Some(end) => end.min(chars.len()),
            None => {
                out.push(chars[at]);
                at += 1;
                continue;
            }
        };
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that begins at `at` ends, if one begins there.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => Some(line_end(chars, at)),
        ('/', Some('*')) => Some(block_end(chars, at)),
        ('"', _) => Some(string_end(chars, at + 1)),
        ('r', Some('"' | '#')) if starts_word(chars, at) => raw_end(chars, at + 1),
        ('\'', _) => char_end(chars, at),
        _ => None,
    }
}

/// A raw string may follow `b` or `c`; anything else before its `r` makes it part of a name.
fn starts_word(chars: &[char], at: usize) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    match at.checked_sub(1).map(|i| chars[i]) {
        None => true,
        Some('b' | 'c') => at < 2 || !part_of_name(chars[at - 2]),
        Some(before) => !part_of_name(before),
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => {
                (depth, i) = (depth - 1, i + 2);
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], first: usize) -> usize {
    let mut i = first;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `None` for a raw identifier such as `r#type`.
fn raw_end(chars: &[char], after_r: usize) -> Option<usize> {
    let hashes = chars[after_r..].iter().take_while(|&&c| c == '#').count();
    let first = after_r + hashes + 1;
    if chars.get(first - 1) != Some(&'"') {
        return None;
    }
    let closes = |i: usize| {
        chars[i] == '"'
            && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((first..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes))
}

/// `None` for a lifetime.
fn char_end(chars: &[char], at: usize) -> Option<usize> {
    match chars.get(at + 1)? {
        '\\' => {
            // The character after the backslash may itself be a quote.
            let close = chars.get(at + 3..)?.iter().position(|&c| c == '\'')?;
            Some(at + 3 + close + 1)
        }
        _ if chars.get(at + 2) == Some(&'\'') => Some(at + 3),
        _ => None,
    }
}

/// Line numbers (from 1) on which `word` stands as a whole word.
pub(crate) fn lines_with_word(code: &str, word: &str) -> Vec<usize> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let whole = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    };
    let hit = |line: &str| line.match_indices(word).any(|(at, _)| whole(line, at));
    code.lines().enumerate().filter(|(_, line)| hit(line)).map(|(i, _)| i + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_vanish_and_code_stays() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            ("f(\"x\\\"y\") g", "f(      ) g"),
            ("r\"a\\\" b", "      b"),
            ("br#\"a\"b\"# c", "b         c"),
            ("r#type", "r#type"),
            ("'\\'' 'x' '\\u{1}' &'a str", "                 &'a str"),
            ("for\"s\"", "for   "),
            ("\"a\nb\" c", "  \n   c"),
            ("\"open", "     "),
            ("/* open", "       "),
        ] {
            assert_eq!(blanked(text), expected, "{text}");
        }
    }

    #[test]
    fn a_word_is_not_a_part_of_a_word() {
        let code = "unsafe_code\nunsafe {\nan unsafe\n#![deny(unsafe_op)]";
        assert_eq!(lines_with_word(code, "unsafe"), [2, 3]);
    }
}
