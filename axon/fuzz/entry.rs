//! What the fuzz targets do with their input. `tests/fuzz_replay.rs` feeds the committed corpora to the same functions
//! on a stable compiler. They panic if a promise is broken.

use axon::chassis::text::{Graph, Makers};
use axon::debug::{ConfigError, DebugConfig};

/// What is understood survives being written; what is not is told on one line with the place.
pub(crate) fn debug_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<DebugConfig>() {
        Ok(config) => {
            for (name, section) in config.sections() {
                assert!(!name.is_empty() && !name.starts_with('#') && !section.location.is_empty());
                assert!(
                    !name.contains([' ', '\t', '\r', '\n'])
                        && !section.location.contains([' ', '\t', '\r', '\n'])
                );
            }
            assert_eq!(config.to_string().parse::<DebugConfig>(), Ok(config));
        }
        Err(error) => {
            let (ConfigError::Fields { line, .. } | ConfigError::Level { line, .. }) = &error else {
                panic!("{error}");
            };
            assert!((1..=text.lines().count()).contains(line));
            let told = error.to_string();
            assert!(told.len() < 1000 && !told.contains(char::is_control), "{told}");
        }
    }
}

/// Any text is read or refused at a place that lies in it; what is read can be written, and reads as the same again.
pub(crate) fn graph_text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Graph::parse(text) {
        Ok(graph) => {
            let written = graph.to_string();
            let again = Graph::parse(&written).unwrap_or_else(|e| panic!("{e} in {written:?}"));
            assert_eq!(again.to_string(), written, "of {text:?}");
            // Makers without effects: an everyday backplane registers its name.
            let makers = Makers::new().with("A", |_| Ok(axon::util::NullSink::new()));
            let _ = graph.build(&makers);
        }
        Err(e) => {
            assert!(e.at.line <= text.matches('\n').count() + 1, "{e} of {text:?}");
            let line = text.split('\n').nth(e.at.line - 1).unwrap_or_default();
            assert!((1..=line.chars().count() + 1).contains(&e.at.column), "{e} of {text:?}");
        }
    }
}
