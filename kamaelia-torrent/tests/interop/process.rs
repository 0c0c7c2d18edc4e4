//! Child processes that do not outlive the test, whatever happens to it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;

use crate::bench::{Deadline, Failure, POLL, Result};

/// A running program whose output goes to files.
pub(crate) struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
    guard: Guard,
}

impl Process {
    /// Starts `command` with its output in `folder`.
    pub(crate) fn start(name: &str, folder: &Path, command: &mut Command) -> Result<Process> {
        let out = folder.join(format!("{name}.out"));
        command.stdin(Stdio::null()).stdout(append(&out)?);
        Process::spawn(name, folder, out, command)
    }

    /// Starts `command` and talks to it over its standard input and output.
    pub(crate) fn start_piped(
        name: &str,
        folder: &Path,
        command: &mut Command,
    ) -> Result<(Process, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(name, folder, folder.join(format!("{name}.out")), command)?;
        let input =
            process.child.stdin.take().ok_or_else(|| Failure::new("no pipe to the standard input"))?;
        let output =
            process.child.stdout.take().ok_or_else(|| Failure::new("no pipe from the standard output"))?;
        Ok((process, input, output))
    }

    fn spawn(name: &str, folder: &Path, out: PathBuf, command: &mut Command) -> Result<Process> {
        let err = folder.join(format!("{name}.err"));
        // Nothing here leaves loopback, and a proxy would.
        for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env_remove(variable);
        }
        // A group of its own: the guard ends all of it, and Ctrl-C at the terminal reaches the guard's end first.
        let child = command
            .stderr(append(&err)?)
            .process_group(0)
            .spawn()
            .map_err(|e| Failure::new(format!("cannot start {name}: {e}")))?;
        let guard = Guard::over(&child)?;
        Ok(Process { name: name.to_owned(), child, out, err, guard })
    }

    /// What it wrote to its standard output so far.
    pub(crate) fn output(&self) -> String {
        fs::read(&self.out).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Fails if the program has ended.
    pub(crate) fn check_running(&mut self) -> Result {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                Err(Failure::new(format!("{} ended: {status}\n{}", self.name, self.last_words())))
            }
        }
    }

    /// Waits until the program ends by itself with success.
    pub(crate) fn wait_success(&mut self, deadline: &Deadline) -> Result {
        let status = self.wait_exit(deadline)?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("{} ended: {status}\n{}", self.name, self.last_words())))
    }

    /// Waits until the program ends by itself.
    pub(crate) fn wait_exit(&mut self, deadline: &Deadline) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.guard.release();
                return Ok(status);
            }
            if deadline.passed() {
                return Err(Failure::new(format!("{} does not end\n{}", self.name, self.last_words())));
            }
            thread::sleep(POLL);
        }
    }

    /// Sends the signal of Ctrl-C.
    pub(crate) fn interrupt(&self) -> Result {
        let status = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status()?;
        if status.success() { Ok(()) } else { Err(Failure::new(format!("kill -INT: {status}"))) }
    }

    /// Ends the program at once, as a crash or `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // Both only fail if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.guard.release();
    }

    /// The ends of its output, for messages.
    pub(crate) fn last_words(&self) -> String {
        format!("{}{}", tail("standard output", &self.out), tail("standard error", &self.err))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A shell that waits for the test to end and then kills what is left of a group of processes: `Drop` does not run
/// when the test itself is killed, but its pipes close.
struct Guard {
    shell: Child,
}

impl Guard {
    fn over(child: &Child) -> Result<Guard> {
        let shell = Command::new("sh")
            .args(["-c", "read -r released || kill -s KILL -- \"-$1\"", "guard"])
            .arg(child.id().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Guard { shell })
    }

    /// The processes are gone: their number may belong to others by now.
    fn release(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.write_all(b"released\n");
            drop(pipe);
            let _ = self.shell.wait();
        }
    }
}

/// A program on the path, or nothing.
pub(crate) fn find_program(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn append(path: &Path) -> Result<File> {
    Ok(File::options().create(true).append(true).open(path)?)
}

fn tail(what: &str, path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return String::new();
    }
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- end of {what}\n{}\n", lines[from..].join("\n"))
}

/// Lines of output in a message.
const TAIL_LINES: usize = 25;
