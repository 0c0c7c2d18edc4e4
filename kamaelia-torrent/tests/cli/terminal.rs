//! What is drawn on a terminal. Needs `script` (util-linux) for a pseudo-terminal.

#![cfg(target_os = "linux")]

use std::process::{Command, Stdio};

use crate::run::*;
use crate::support;

/// What the program writes to a terminal; `None` without the tool.
fn on_a_terminal(args: &[String], no_color: bool) -> Option<String> {
    let there = Command::new("script").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: there is no `script` to make a pseudo-terminal with");
        return None;
    }
    let words: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("stty cols 110; '{}' {}", program(), words.join(" ")), "/dev/null"]);
    script.env_remove("NO_COLOR").env_remove("RUST_LOG").env("TERM", "xterm-256color");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let output = finish(script);
    assert_code(&output, 0);
    Some(stdout(&output))
}

#[test]
fn a_bar_is_drawn_and_no_color_is_honoured() {
    let torrent = support::single("file-with-a-bar", 1 << 20, 16_384, 11);
    let place = Place::new();
    let (_seed, addr) = place.seed(&torrent, &[]);
    let file = place.torrent("f.torrent", &torrent.bytes);
    for no_color in [false, true] {
        let dir = if no_color { "plain" } else { "coloured" };
        let args = place.get(&file, dir, &["--peer", &addr.to_string()]);
        let Some(text) = on_a_terminal(&args, no_color) else { return };
        assert!(text.contains("file-with-a-bar") && text.contains("100%"), "{text:?}");
        assert!(text.contains("███"), "{text:?}");
        assert!(text.contains("complete, 1.0 MiB in"), "{text:?}");
        let coloured = text.contains("\x1b[36m") || text.contains("\x1b[38;5;");
        assert_eq!(coloured, !no_color, "{text:?}");
    }
}

#[test]
fn errors_stand_alone_on_a_terminal() {
    let place = Place::new();
    let file = place.torrent("bad\x1b[31m.torrent", b"x");
    let Some(text) = ({
        let args = ["show".to_owned(), file];
        let words: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
        let mut script = Command::new("script");
        script.args(["-qec", &format!("'{}' {}; true", program(), words.join(" ")), "/dev/null"]);
        script.output().ok().map(|o| stdout(&o))
    }) else {
        eprintln!("SKIPPED: there is no `script` to make a pseudo-terminal with");
        return;
    };
    assert!(text.contains("error: ") && !text.contains("\x1b[31m.torrent"), "{text:?}");
}
