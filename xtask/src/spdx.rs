//! SPDX licence expressions: may a package be used under licences we accept?
//!
//! Refuses what it cannot parse: an unreadable expression is not a permission. Invariant: `OR` is
//! our choice, `AND` binds both sides, `WITH` makes one licence of two words.

/// Whether `expression` can be satisfied with the licences of `allowed`.
pub(crate) fn allows(expression: &str, allowed: &[&str]) -> Result<bool, String> {
    // Old manifests write `MIT/Apache-2.0` for a choice.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { tokens: &tokens, allowed };
    let verdict = parser.any_of().map_err(|why| format!("`{expression}`: {why}"))?;
    match parser.tokens.first() {
        None => Ok(verdict),
        Some(token) => Err(format!("`{expression}`: unexpected `{token}`")),
    }
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    allowed: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn any_of(&mut self) -> Result<bool, String> {
        let mut verdict = self.all_of()?;
        while self.accept("OR") {
            // Not `||` on the call: the right side has to be parsed in either case.
            let right = self.all_of()?;
            verdict = verdict || right;
        }
        Ok(verdict)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut verdict = self.one()?;
        while self.accept("AND") {
            let right = self.one()?;
            verdict = verdict && right;
        }
        Ok(verdict)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.accept("(") {
            let verdict = self.any_of()?;
            return if self.accept(")") { Ok(verdict) } else { Err("`)` is missing".to_owned()) };
        }
        let licence = self.name()?;
        if self.accept("WITH") {
            let exception = self.name()?;
            return Ok(self.allowed.contains(&format!("{licence} WITH {exception}").as_str()));
        }
        Ok(self.allowed.contains(&licence))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        match self.tokens.split_first() {
            Some((word, rest)) if !["OR", "AND", "WITH", "(", ")"].contains(word) => {
                self.tokens = rest;
                Ok(word)
            }
            Some((word, _)) => Err(format!("a licence is missing before `{word}`")),
            None => Err("a licence is missing at the end".to_owned()),
        }
    }

    fn accept(&mut self, word: &str) -> bool {
        let hit = self.tokens.first() == Some(&word);
        if hit {
            self.tokens = &self.tokens[1..];
        }
        hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: &[&str] = &["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"];

    #[test]
    fn a_choice_needs_one_side_and_a_conjunction_both() {
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-2.0/MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT AND ISC", true),
            ("MIT AND ISC OR GPL-3.0-only", true),
            ("GPL-3.0-only OR MIT AND LGPL-2.1-only", false),
            ("(MIT OR GPL-3.0-only) AND ISC", true),
            ("(MIT OR ISC) AND Unicode-3.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("GPL-3.0-only WITH GCC-exception-3.1 OR ISC", true),
        ] {
            assert_eq!(allows(expression, ALLOWED), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_permits_nothing() {
        for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT", "MIT WITH", "OR"] {
            assert!(allows(broken, ALLOWED).is_err(), "{broken}");
        }
    }
}
