//! Debugging configuration files (Kamaelia: `Axon/debugConfigFile.py`, `Axon/debugConfigDefaults.py`).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a configuration file says: sections, with the greatest level of detail that is written.
///
/// The file's lines are `section level location`, separated by spaces or tabs; `#` begins a comment line, and lines of
/// nothing but spaces are skipped (AX-DBG-04). Both may be indented. A section that is there twice has its last level.
///
/// ```
/// use axon::debug::DebugConfig;
///
/// let config: DebugConfig = "# mine\nUpper.main  5  default\n\nUpper.send 10 default\n".parse()?;
/// assert_eq!(config.section("Upper.send").map(|s| s.level), Some(10));
///
/// let e = "Upper.main five default".parse::<DebugConfig>().unwrap_err();
/// assert_eq!(e.to_string(), "line 1: level \"five\" is not a whole number from 0 to 4294967295");
/// # Ok::<(), axon::debug::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugConfig {
    sections: BTreeMap<String, SectionConfig>,
}

/// The settings of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionConfig {
    /// The greatest level of detail that is written.
    pub level: u32,
    /// Where to; kept, and not used by the original either.
    pub location: String,
}

/// Why a configuration was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not UTF-8 text.
    NotText,
    /// A line has more or fewer than three fields.
    Fields {
        /// Its number, from 1.
        line: usize,
        /// Its text, or the beginning of it.
        text: String,
    },
    /// A level is not a number.
    Level {
        /// The line's number, from 1.
        line: usize,
        /// The level's text, or the beginning of it.
        text: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("not UTF-8 text"),
            Self::Fields { line, text } => {
                write!(f, "line {line}: expected \"section level location\", found {text:?}")
            }
            Self::Level { line, text } => {
                write!(f, "line {line}: level {text:?} is not a whole number from 0 to {}", u32::MAX)
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl DebugConfig {
    /// Every [known section](KNOWN_SECTIONS) at level 0.
    pub fn known_sections() -> Self {
        let quiet = SectionConfig { level: 0, location: "default".into() };
        Self { sections: KNOWN_SECTIONS.iter().map(|s| (s.to_string(), quiet.clone())).collect() }
    }

    /// The sections, in order of their names.
    pub fn sections(&self) -> impl Iterator<Item = (&str, &SectionConfig)> {
        self.sections.iter().map(|(name, s)| (&**name, s))
    }

    /// One section.
    pub fn section(&self, name: &str) -> Option<&SectionConfig> {
        self.sections.get(name)
    }
}

impl FromStr for DebugConfig {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            // A carriage return without a line feed would be lost, or not, by what follows it.
            let mut fields = text.split([' ', '\t', '\r']).filter(|f| !f.is_empty()).peekable();
            if fields.peek().is_some_and(|f| f.starts_with('#')) {
                continue;
            }
            let found = (fields.next(), fields.next(), fields.next(), fields.next());
            match found {
                (None, ..) => {}
                (Some(section), Some(level), Some(location), None) => {
                    // Digits alone: the standard parser would take a plus sign too.
                    let digits = level.bytes().all(|b| b.is_ascii_digit());
                    let number = if digits { level.parse().ok() } else { None };
                    let level = number.ok_or_else(|| ConfigError::Level { line, text: beginning(level) })?;
                    config
                        .sections
                        .insert(section.into(), SectionConfig { level, location: location.into() });
                }
                _ => return Err(ConfigError::Fields { line, text: beginning(text) }),
            }
        }
        Ok(config)
    }
}

/// In the form of the file.
impl fmt::Display for DebugConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, SectionConfig { level, location }) in &self.sections {
            writeln!(f, "{name} {level} {location}")?;
        }
        Ok(())
    }
}

/// As much of a text as an error message should hold.
fn beginning(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The sections that the framework and Kamaelia's oldest components use.
pub const KNOWN_SECTIONS: &[&str] = &[
    "debugTestClass.even",
    "debugTestClass.triple",
    "debugTestClass.run",
    "debugTestClass.__init__",
    "debugTestClass.randomChange",
    "microprocess.microprocess",
    "microprocess.__str__",
    "microprocess.__init__",
    "microprocess.setthread",
    "microprocess._isStopped",
    "microprocess._isRunnable",
    "microprocess.stop",
    "microprocess.pause",
    "microprocess._unpause",
    "microprocess.activate",
    "microprocess.main",
    "scheduler.scheduler",
    "scheduler.__init__",
    "scheduler._addThread",
    "scheduler.main",
    "scheduler.main.threads",
    "scheduler.objecttrack",
    "scheduler.runThreads",
    "microthread.microthread",
    "microthread.__init__",
    "microthread.activate",
    "postman.postman",
    "postman.main",
    "postman.__init__",
    "postman.__str__",
    "postman.register",
    "postman.registerlinkage",
    "postman.deregister",
    "postman.deregisterlinkage",
    "postman.showqueuelengths",
    "postman.findrecipient",
    "postman.domessagedelivery.linkages",
    "postman.domessagedelivery",
    "postman.specificTransits",
    "postman.messagedelivery.fail",
    "component.component",
    "component.Component",
    "component.__init__",
    "component.__str__",
    "component.dataReady",
    "component.link",
    "component.recv",
    "component.send",
    "component.doSomething",
    "component.mainBody",
    "component.main",
    "component.addChildren",
    "component.removeChild",
    "component.childComponents",
    "component.initialiseComponent",
    "component.closeDownComponent",
    "component._collect",
    "component._deliver",
    "component.__addChild",
    "linkage.linkage",
    "idGen.idGen",
    "idGen.numId",
    "idGen.strId",
    "idGen.tupleId",
    "ReadFileAdapter.main",
    "AudioCookieProtocol.initialiseComponent",
    "FortuneCookieProtocol.main",
    "SimpleServer.checkOOBInfo",
    "SimpleServer.handleClosedCSA",
    "SimpleServer.handleNewCSA",
    "SimpleServerTestProtocol.__init__",
    "SimpleServerTestProtocol.mainBody",
    "SimpleServerTestProtocol.closeDownComponent",
    "HTTPServer.initialiseComponent",
    "MimeRequestComponent.mainBody",
    "PrimaryListenSocket.makeTCPServerPort",
    "ConnectedSocketAdapter.handleDataReady",
    "ConnectedSocketAdapter.handleDataSend",
    "ConnectedSocketAdapter.mainBody",
];
