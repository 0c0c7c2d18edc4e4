//! What the book says that a session can do, and by which call, message and option, is so; and it leaves nothing out.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::*;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// The Rust sources below a folder, without tests beside the code.
fn sources(dir: &str) -> String {
    fn collect(dir: PathBuf, text: &mut String) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(path, text);
            } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")).join(dir), &mut text);
    text
}

/// The fields of a public struct, if it is there.
fn fields(source: &str, name: &str) -> Option<BTreeSet<String>> {
    let body = source.split_once(&format!("pub struct {name} {{"))?.1.split_once("\n}")?.0;
    let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    Some(names.map(str::to_owned).collect())
}

/// Whether the source has `name`: a struct, a field of one (`Struct::field`) or a function.
fn has(source: &str, name: &str) -> bool {
    match name.split_once("::") {
        Some((name, field)) => fields(source, name).is_some_and(|fields| fields.contains(field)),
        None => {
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
            let after = |what: &str| source.split(&format!("pub {what} {name}")).skip(1).any(ends);
            after("struct") || after("fn")
        }
    }
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn help(command: &str) -> BTreeSet<String> {
    let output = run([command, "--help"]);
    assert_code(&output, 0);
    let text = stdout(&output);
    let words = text.split(|c: char| c.is_whitespace() || c == ',' || c == '[');
    let options = words.filter(|word| word.starts_with("--") && word.len() > 2);
    options.map(|word| word.trim_end_matches(|c: char| !c.is_alphanumeric()).to_owned()).collect()
}

#[test]
fn the_table_of_capabilities_is_true() {
    let (book, engine, messages) =
        (read("../docs/src/bittorrent/session.md"), sources("src/engine"), sources("src/components"));
    let options = help("get");
    let rows: Vec<Vec<&str>> = book
        .lines()
        .skip_while(|line| !line.starts_with("| what | `Engine` | message | option |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let [what, calls, requests, typed] = row[..] else { panic!("{row:?}") };
        assert!(quoted(calls).next().is_some(), "{what}: no call of the engine");
        assert!(quoted(requests).next().is_some(), "{what}: no message");
        for name in quoted(calls) {
            assert!(has(&engine, name), "{what}: the engine has no {name}");
        }
        for name in quoted(requests) {
            assert!(has(&messages, name), "{what}: there is no message {name}");
        }
        for name in quoted(typed).filter(|name| name.starts_with("--")) {
            assert!(options.contains(name), "{what}: get has no option {name}");
        }
    }
}

#[test]
fn every_message_setting_and_option_is_in_the_book() {
    let names = ["session", "components", "trouble", "command-line"];
    let [session, components, trouble, commands] =
        names.map(|n| read(&format!("../docs/src/bittorrent/{n}.md")));
    let ipc = sources("src/components/ipc") + &read("src/components/ipc.rs");
    // A request is a struct that has a text form.
    let requests: Vec<&str> = ipc
        .split("impl fmt::Display for ")
        .skip(1)
        .filter_map(|rest| rest.split_once(' ').map(|(name, _)| name))
        .filter(|name| has(&ipc, name) && *name != "TorrentStartFail")
        .collect();
    assert!(requests.len() > 20, "{requests:?}");
    let told = format!("{session}{components}{trouble}");
    for name in requests {
        assert!(told.contains(&format!("`{name}")), "the book does not tell of {name}");
    }
    let settings = fields(&read("src/engine/settings.rs"), "Settings").unwrap();
    assert!(settings.len() > 20, "{settings:?}");
    for name in settings.iter().filter(|name| *name != "disk_hook") {
        assert!(trouble.contains(&format!("`{name}`")), "the book does not tell of Settings::{name}");
    }
    for command in ["demo", "get", "seed", "make", "check", "show", "tracker", "forget", "cat"] {
        for option in help(command) {
            let said = [" ", "`"].iter().any(|end| commands.contains(&format!("{option}{end}")));
            assert!(
                said || ["--help", "--verbose", "--version"].contains(&option.as_str()),
                "the book does not tell of {command} {option}"
            );
        }
    }
}
