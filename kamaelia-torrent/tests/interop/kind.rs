//! Which clients there are, and how to get them.

use std::env;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::process::find_program;

/// A program that the suite needs beside ours.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aria2,
    Libtorrent,
    Opentracker,
    Qbittorrent,
    Rqbit,
    Transmission,
}

/// Whether tests can use a program.
pub(crate) enum Availability {
    /// It is there.
    Installed,
    /// Its registry does not hand it out: said by `INTEROP_MISSING`.
    Refused,
    /// It is not there, and nobody says why.
    Missing,
}

impl Kind {
    /// The name that `INTEROP_MISSING` and messages use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Aria2 => "aria2",
            Kind::Libtorrent => "libtorrent",
            Kind::Opentracker => "opentracker",
            Kind::Qbittorrent => "qbittorrent",
            Kind::Rqbit => "rqbit",
            Kind::Transmission => "transmission",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Kind::Aria2 => "aria2c",
            Kind::Libtorrent => "python3",
            Kind::Opentracker => "opentracker",
            Kind::Qbittorrent => "qbittorrent-nox",
            Kind::Rqbit => "rqbit",
            Kind::Transmission => "transmission-daemon",
        }
    }

    /// Looks for the program.
    pub(crate) fn availability(self) -> Availability {
        let installed = match self {
            Kind::Libtorrent => python_has_libtorrent(),
            other => find_program(other.program()).is_some(),
        };
        if installed {
            Availability::Installed
        } else if refused(self.name()) {
            Availability::Refused
        } else {
            Availability::Missing
        }
    }

    /// The message of a test that lacks the program.
    pub(crate) fn how_to_install(self) -> String {
        let how = match self {
            Kind::Libtorrent => {
                "`python3 -m pip install libtorrent` (the first python3 on the path is asked)".into()
            }
            Kind::Rqbit => {
                "`cargo install rqbit --locked --no-default-features --features default-tls`".to_owned()
            }
            Kind::Qbittorrent | Kind::Transmission => format!("`apt-get install {}`", self.program()),
            Kind::Aria2 | Kind::Opentracker => format!("`apt-get install {}`", self.name()),
        };
        format!(
            "{} is not installed: get it with {how}, or all clients with `.ci/install-clients`, and run \
             `.ci/interop`. Only if its registry refuses it, name it in INTEROP_MISSING.",
            self.name()
        )
    }

    /// Says that a test did not run. Not by a print macro: the test harness would keep that for itself.
    pub(crate) fn report_refused(self) {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: {test}: INTEROP_MISSING says that the registry of {} refused it",
            self.name()
        );
    }
}

fn refused(name: &str) -> bool {
    let list = env::var("INTEROP_MISSING").unwrap_or_default();
    list.split([' ', ',']).any(|entry| entry == name)
}

fn python_has_libtorrent() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let mut python = Command::new("python3");
        python
            .args(["-c", "import libtorrent"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        python.status().is_ok_and(|status| status.success())
    })
}
