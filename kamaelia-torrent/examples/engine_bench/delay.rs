//! A line with delay: whatever comes in goes on after a fixed time, in both directions, at whatever rate.
//!
//! The windows of the system's TCP end at this process, so that what is measured with it is the depth of the clients'
//! own pipelines.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::Outcome;
use super::options::Options;

pub(crate) fn run(options: &Options) -> Outcome {
    let listener = TcpListener::bind(options.need::<SocketAddr>("listen")?)?;
    let target: SocketAddr = options.need("target")?;
    let delay = Duration::from_secs_f64(options.need::<f64>("ms")? / 1000.0);
    let bind: Option<IpAddr> = options.get("bind")?;
    println!("{{\"event\":\"listening\",\"address\":\"{}\"}}", listener.local_addr()?);
    for incoming in listener.incoming() {
        let incoming = incoming?;
        let Ok(outgoing) = connect(target, bind) else { continue };
        for (from, to) in [(&incoming, &outgoing), (&outgoing, &incoming)] {
            from.set_nodelay(true)?;
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            // In flight are at most this many portions; more than any line here ever holds.
            let (sender, receiver) = sync_channel(8192);
            thread::spawn(move || take(from, &sender));
            thread::spawn(move || pass_on(to, &receiver, delay));
        }
    }
    Ok(())
}

fn connect(target: SocketAddr, bind: Option<IpAddr>) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    if let Some(ip) = bind {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect(&target.into())?;
    Ok(socket.into())
}

fn take(mut from: TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>) {
    let mut buf = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buf) {
            Ok(n) if n > 0 => {
                if sender.send((Instant::now(), buf[..n].to_vec())).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn pass_on(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>, delay: Duration) {
    while let Ok((at, data)) = receiver.recv() {
        thread::sleep((at + delay).saturating_duration_since(Instant::now()));
        if to.write_all(&data).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
