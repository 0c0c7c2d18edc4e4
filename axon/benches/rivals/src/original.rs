//! The original in Python, if it is at hand: `PYTHON_AXON` is the folder that its package `Axon` lies in (`Code/Python/Axon`
//! of a checkout of Kamaelia), `PYTHON` the interpreter, `python3` unless given. The program measures itself.

use std::process::{Command, Stdio};

const PROGRAM: &str = include_str!("original.py");

/// Nanoseconds of one message; nothing if there is no original here.
pub(crate) fn measure(program: &str, size: usize, messages: u64) -> Option<f64> {
    let folder = std::env::var_os("PYTHON_AXON")?;
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let out = Command::new(python)
        .args(["-c", PROGRAM, program, &size.to_string(), &messages.to_string()])
        .env("PYTHONPATH", folder)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8_lossy(&out.stdout).lines().last()?.trim().parse().ok()
}
