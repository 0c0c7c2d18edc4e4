//! The commands of the program.
//!
//! Exit codes: 0 done, 1 failed (with the reason on standard error), 2 wrong use, 130 interrupted before it was done.

mod args;
mod cat;
mod check;
mod demo;
mod disk_news;
mod files;
mod graph;
mod interrupt;
mod limits;
mod loneliness;
mod make;
mod output;
mod session;
mod show;
mod stdout;
mod tracker;
mod transfer;
mod units;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Why a command did not do what it was asked.
pub(crate) enum Failure {
    /// Something went wrong; the text names it.
    Failed(String),
    /// Something went wrong, and the user has been told already.
    Told,
    /// The user interrupted it.
    Interrupted,
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        let mut text = e.to_string();
        let mut source = e.source();
        while let Some(s) = source {
            let s_text = s.to_string();
            if !text.contains(&s_text) {
                text = format!("{text}: {s_text}");
            }
            source = s.source();
        }
        Self::Failed(text)
    }
}

pub(crate) type Done = Result<(), Failure>;

pub(crate) fn run() -> ExitCode {
    let args = Args::parse();
    let level = match args.verbose {
        0 => log::LevelFilter::Error,
        1 => log::LevelFilter::Info,
        2 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    // RUST_LOG still has the last word.
    env_logger::Builder::new().filter_level(level).parse_default_env().init();
    let json = args.command.is_json();
    let done = match args.command {
        Command::Demo(a) => demo::run(&a),
        Command::Get(a) => transfer::get(&a),
        Command::Seed(a) => transfer::seed(&a),
        Command::Cat(a) => cat::run(&a),
        Command::Make(a) => make::run(&a),
        Command::Check(a) => check::run(&a),
        Command::Show(a) => show::run(&a),
        Command::Tracker(a) => tracker::run(&a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => {
            if json {
                output::line(&serde_json::json!({"event": "error", "error": text}).to_string());
            }
            eprintln!("error: {}", output::clean(&text));
            ExitCode::FAILURE
        }
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Interrupted) => ExitCode::from(130),
    }
}
