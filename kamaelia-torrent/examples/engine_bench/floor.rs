//! What the work that nobody can leave out costs on this machine: processor seconds for each GiB.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use sha1::{Digest, Sha1};

use super::Outcome;
use super::figures::thread_cpu;
use super::options::Options;

const GIB: usize = 1 << 30;
/// Bytes handled at a time: what fits into a second-level cache.
const PORTION: usize = 256 * 1024;
/// Rounds of each; the least counts, because nothing makes a primitive faster than it is.
const ROUNDS: usize = 3;

pub(crate) fn run(options: &Options) -> Outcome {
    let dir = Path::new(options.word(0, "a folder on the disk to be measured")?);
    let path = dir.join(format!("floor-{}", std::process::id()));
    let mut least = [f64::MAX; 6];
    for _ in 0..ROUNDS {
        let round = round(&path);
        let _ = std::fs::remove_file(&path);
        for (least, figure) in least.iter_mut().zip(round?) {
            *least = least.min(figure);
        }
    }
    let names = ["receive", "send", "hash", "write_new", "write_over", "read"];
    let fields: Vec<String> = names.iter().zip(least).map(|(n, v)| format!("\"{n}\":{v:.4}")).collect();
    println!("{{{}}}", fields.join(","));
    Ok(())
}

fn round(path: &Path) -> Outcome<[f64; 6]> {
    let (receive, send) = line()?;
    let mut portion = vec![7u8; PORTION];
    let hash = timed(|| {
        let mut sha = Sha1::new();
        (0..GIB / PORTION).for_each(|_| sha.update(std::hint::black_box(&portion)));
        std::hint::black_box(sha.finalize());
        Ok(())
    })?;
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let write = || -> Outcome {
        for at in (0..GIB).step_by(PORTION) {
            file.write_all_at(&portion, at as u64)?;
        }
        Ok(())
    };
    let (new, over) = (timed(write)?, timed(write)?);
    let read = timed(|| {
        for at in (0..GIB).step_by(PORTION) {
            file.read_exact_at(&mut portion, at as u64)?;
        }
        Ok(())
    })?;
    Ok([receive, send, hash, new, over, read])
}

/// Processor time of the receiving and of the sending side of a connection.
fn line() -> Outcome<(f64, f64)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let sender = thread::spawn(move || -> Outcome<f64> {
        let mut stream = TcpStream::connect(addr)?;
        let portion = vec![7u8; PORTION];
        timed(|| {
            for _ in 0..GIB / PORTION {
                stream.write_all(&portion)?;
            }
            Ok(())
        })
    });
    let (mut stream, _) = listener.accept()?;
    let mut buf = vec![0; PORTION];
    let receive = timed(|| {
        while stream.read(&mut buf)? > 0 {}
        Ok(())
    })?;
    let send = sender.join().map_err(|_| "the sender panicked")??;
    Ok((receive, send))
}

fn timed(mut work: impl FnMut() -> Outcome) -> Outcome<f64> {
    let before = thread_cpu();
    work()?;
    Ok(thread_cpu() - before)
}
