//! Debugging output by section and level of detail (Kamaelia: `Axon/debug.py`).

mod config;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use self::config::{ConfigError, DebugConfig, KNOWN_SECTIONS, SectionConfig};

/// Writes notes of the sections that are being debugged, through the `log` crate.
///
/// Each note belongs to a section and has a level of detail; it is written if the section's own level is at least as
/// high. Settings are per object (AX-DBG-01).
///
/// ```
/// use axon::debug::Debug;
///
/// let mut debug = Debug::new();
/// debug.add_debug([("Upper.main", 5), ("Upper.send", 1)]);
/// assert!(debug.note("Upper.main", 5, "loop begins")?); // logged at debug level: "Upper.main | loop begins"
/// assert!(!debug.note("Upper.send", 10, format_args!("sent {}", 7))?); // too detailed
/// # Ok::<(), axon::debug::DebugError>(())
/// ```
///
/// # How it works
/// A note becomes a log record of level `Debug` whose target is the section. The time before each line of the original
/// is the logger's business.
#[derive(Clone, Debug, Default)]
pub struct Debug {
    sections: BTreeMap<String, u32>,
    /// The configuration came from a file, so it should know every section.
    from_file: bool,
    lenient: bool,
}

/// What can go wrong with debugging.
#[derive(Debug)]
#[non_exhaustive]
pub enum DebugError {
    /// A section that the configuration file does not have: not added there, misspelt, or with spaces too many.
    UnknownSection {
        /// The section.
        section: String,
        /// What was to be said.
        message: String,
    },
    /// The configuration file is there and is not right.
    Config {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: ConfigError,
    },
}

impl fmt::Display for DebugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSection { section, message } => {
                write!(f, "no debug section {section:?} in the configuration, message: {message}")
            }
            Self::Config { file, error } => write!(f, "{}: {error}", file.display()),
        }
    }
}

impl std::error::Error for DebugError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config { error, .. } => Some(error),
            Self::UnknownSection { .. } => None,
        }
    }
}

impl Debug {
    /// Without any section.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes of unknown sections are no error (the original's `assertBadDebug=0`).
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Takes over the program's configuration. The first caller decides what that is: the content of `file`
    /// (usually `debug.conf`), or, if it cannot be read, every [known section](KNOWN_SECTIONS) at level 0. Later
    /// callers get the same, whatever file they name (AX-DBG-03).
    ///
    /// # Errors
    /// [`DebugError::Config`] if the file is there and is not right; the next caller may try another.
    pub fn use_config(&mut self, file: impl AsRef<Path>) -> Result<(), DebugError> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let (config, from_file) = match &mut *shared {
            Some(shared) => shared,
            none => none.insert(load(file.as_ref())?),
        };
        self.from_file = *from_file;
        self.sections.extend(config.sections().map(|(name, s)| (name.to_string(), s.level)));
        Ok(())
    }

    /// Sets the level of a section, replacing an earlier one.
    pub fn add_debug_section(&mut self, section: impl Into<String>, level: u32) {
        self.sections.insert(section.into(), level);
    }

    /// Sets the levels of several sections, replacing earlier ones.
    pub fn add_debug<S: Into<String>>(&mut self, sections: impl IntoIterator<Item = (S, u32)>) {
        self.sections.extend(sections.into_iter().map(|(s, level)| (s.into(), level)));
    }

    /// Sets the levels of several sections and forgets all others.
    pub fn set_debug_sections<S: Into<String>>(&mut self, sections: impl IntoIterator<Item = (S, u32)>) {
        self.sections = sections.into_iter().map(|(s, level)| (s.into(), level)).collect();
    }

    /// Raises a section's level by 5; a new section gets level 5.
    pub fn increase_debug(&mut self, section: &str) {
        let level = self.sections.entry(section.to_string()).or_insert(0);
        *level = level.saturating_add(5);
    }

    /// Lowers a section's level by 5, to 0 at the lowest; a new section is ignored.
    pub fn decrease_debug(&mut self, section: &str) {
        if let Some(level) = self.sections.get_mut(section) {
            *level = level.saturating_sub(5);
        }
    }

    /// Whether notes of that section and level are written (AX-DBG-02).
    pub fn are_debugging(&self, section: &str, level: u32) -> bool {
        self.sections.get(section).is_some_and(|l| *l >= level)
    }

    /// Writes a note if its section is debugged at that level (AX-DBG-02); true if it was written.
    ///
    /// The original's always returns true, for use in an `assert` that is compiled away; `debug_assert!` and
    /// `.is_ok()` do the same.
    ///
    /// # Errors
    /// [`DebugError::UnknownSection`] if the configuration came from a file that does not have the section, unless
    /// made [lenient](Debug::lenient) (D-40).
    pub fn note(&self, section: &str, level: u32, message: impl fmt::Display) -> Result<bool, DebugError> {
        match self.sections.get(section) {
            Some(l) if *l >= level => {
                self.debug_message(section, message);
                Ok(true)
            }
            None if self.from_file && !self.lenient => {
                Err(DebugError::UnknownSection { section: section.into(), message: message.to_string() })
            }
            _ => Ok(false),
        }
    }

    /// Writes a note in any case (the original's `debugmessage`).
    pub fn debug_message(&self, section: &str, message: impl fmt::Display) {
        log::debug!(target: section, "{section} | {message}");
    }
}

/// The configuration of a file, or the one that is built in.
fn load(file: &Path) -> Result<(DebugConfig, bool), DebugError> {
    let Ok(bytes) = fs::read(file) else { return Ok((DebugConfig::known_sections(), false)) };
    let text = String::from_utf8(bytes).map_err(|_| ConfigError::NotText);
    match text.and_then(|text| text.parse()) {
        Ok(config) => Ok((config, true)),
        Err(error) => Err(DebugError::Config { file: file.into(), error }),
    }
}

static SHARED: Mutex<Option<(DebugConfig, bool)>> = Mutex::new(None);
