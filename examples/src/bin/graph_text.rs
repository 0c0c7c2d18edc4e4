//! Runs a graph that is written down in a file.
//!
//! Kamaelia has no such program; its Graphline tables are Python. The language is that of `axon::chassis::text`.
//!
//! ```text
//! graph_text FILE [--show]      --show: writes the graph as it was read, and does not run it
//! ```
//!
//! Besides the everyday components there is `Upper`.

use std::process::ExitCode;

use axon::chassis::text::{Graph, Makers};
use axon::prelude::*;
use axon::util::PureTransformer;

fn run(file: &str, show: bool) -> Result<(), Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("cannot read {file}: {e}"))?;
    let graph = Graph::parse(&text).map_err(|e| format!("{file}: {e}"))?;
    if show {
        println!("{graph}");
        return Ok(());
    }
    let makers = Makers::everyday().with("Upper", |arguments| {
        let [] = arguments.exactly()?;
        Ok(PureTransformer::new(|line: String| Some(line.to_uppercase())))
    });
    graph.build(&makers).map_err(|e| format!("{file}: {e}"))?.activate();
    Ok(Scheduler::thread_default().run()?)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, files): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| a.starts_with("--"));
    let ([file], [] | ["--show"]) = (&files[..], &options.iter().map(|o| o.as_str()).collect::<Vec<_>>()[..])
    else {
        eprintln!("usage: graph_text FILE [--show]");
        return ExitCode::from(2);
    };
    match run(file, !options.is_empty()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}
