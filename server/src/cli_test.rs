//! Whether every subcommand explains itself, and whether what it shows can be typed.

use clap::{CommandFactory as _, Parser as _};

use super::client::ClientCommand;
use super::{Cli, Command};

/// Every subcommand that does something, with the words that lead to it.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    if command.get_subcommands().next().is_none() || !command.is_subcommand_required_set() {
        found.push((path.to_owned(), command.clone()));
    }
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        leaves(child, &format!("{path} {}", child.get_name()), found);
    }
}

/// Words of a shell line; only double quotes quote.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(at, part)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn examples(help: &str) -> Vec<&str> {
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with("bezant "));
    // Behind two spaces, the page of all subcommands says what an example does.
    lines.map(|line| line.split("  ").next().unwrap_or(line)).collect()
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_subcommand_has_help_with_an_example_that_parses() {
    let mut found = Vec::new();
    leaves(&Cli::command(), "bezant", &mut found);
    assert!(found.len() > 40, "{}", found.len());
    for (path, command) in found {
        assert!(command.get_about().is_some(), "{path} says what it does");
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{path} has no example:\n{help}");
        let last = path.rsplit(' ').next().unwrap();
        for example in examples {
            let words = words(example);
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            assert!(path == "bezant" || words.contains(&last.to_owned()), "{path}: {example}");
        }
    }
}

/// What a shell would run of `line` as `bezant`, without what follows a comment or a redirection.
fn typed(line: &str) -> Vec<Vec<String>> {
    let line = line.replace("<uuid>", "018f6f0e-8a10-7000-8000-000000000001");
    let line = line.split("  #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split(['|', ';', '>', '`']));
    let known = |word: &str| {
        (word.starts_with("--") && word.len() > 2)
            || Cli::command().get_subcommands().any(|it| it.get_name() == word)
    };
    let command = |part: &str| {
        let words = words(part);
        let begins = |pair: &[String]| {
            (pair[0] == "bezant" || pair[0].ends_with("/bezant")) && known(&pair[1])
        };
        let at = words.windows(2).position(begins)?;
        Some(words[at..].to_vec())
    };
    parts.filter_map(command).collect()
}

#[test]
fn what_the_manual_and_the_unit_tell_to_type_can_be_typed() {
    let manual = include_str!("../../docs/operations.md");
    let fenced = manual.split("```").enumerate().filter(|(at, _)| at % 2 == 1);
    let fenced: Vec<_> = fenced.flat_map(|(_, block)| block.lines()).collect();
    let files = [
        include_str!("../../deploy/systemd/bezant.service"),
        include_str!("../../deploy/docker/compose.yml"),
    ];
    let lines = fenced.into_iter().chain(files.into_iter().flat_map(str::lines));
    let mut count = 0;
    for line in lines {
        for words in typed(&line.replace("ExecStart=", "")) {
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

#[test]
fn holds_are_placed_with_and_without_the_word() {
    let alice = "018f6f0e-8a10-7000-8000-000000000001";
    let start = ["bezant", "client", "--identity", "x", "hold"];
    let parse = |rest: &[&str]| Cli::try_parse_from(start.iter().chain(rest));
    let parsed = parse(&[alice, "treasury:0", "10"]).unwrap();
    let Command::Client(args) = parsed.command else {
        panic!("it is said to a frame");
    };
    let ClientCommand::Hold(hold) = args.command else {
        panic!("a hold is a hold");
    };
    assert!(hold.command.is_none());
    assert_eq!(hold.parties().map(|parties| parties.amount).as_deref(), Some("10"));
    assert!(parse(&["place", alice, "treasury:0", "10", "--keep"]).is_ok());
    assert!(parse(&[alice, "treasury:0"]).is_err());
    assert!(parse(&[]).is_err());
    assert!(parse(&[alice, "nobody", "10"]).is_err());
}
