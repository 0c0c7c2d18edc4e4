use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// A server on loopback that answers each connection by `answer`, given the request line.
fn serve(ip: &str, answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let Some(Ok(first)) = lines.next() else { continue };
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            answer(&first, &mut stream);
        }
    });
    addr
}

fn reply(head: &str, body: &[u8]) -> impl Fn(&str, &mut TcpStream) + Send + use<> {
    let bytes = [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat();
    move |_, stream| {
        let _ = stream.write_all(&bytes);
    }
}

/// 127.0.0.2 plays the internet.
fn classes(ip: IpAddr) -> Reach {
    if ip == IpAddr::from([127, 0, 0, 2]) { Reach::Global } else { gate::reach(ip) }
}

fn pool(threads: usize) -> (HttpPool, Receiver<HttpDone>) {
    let (sender, receiver) = channel();
    let done = move |done| {
        let _ = sender.send(done);
    };
    (HttpPool::with_classes(threads, None, classes, done), receiver)
}

fn get(url: String) -> Result<Vec<u8>, String> {
    get_within(url, Duration::from_secs(20))
}

fn get_within(url: String, timeout: Duration) -> Result<Vec<u8>, String> {
    let (pool, results) = pool(1);
    pool.get(HttpRequest { token: 7, url, timeout, want: Want::Announce });
    let done = results.recv_timeout(Duration::from_secs(30)).expect("an answer");
    assert_eq!(done.token, 7);
    done.result
}

#[test]
fn body_arrives_byte_for_byte() {
    let body: Vec<u8> = (0..=255).collect();
    let head = "200 OK\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Length: 256";
    let addr = serve("127.0.0.1", reply(head, &body));
    assert_eq!(get(format!("http://{addr}/announce?info_hash=%00%FF+x")), Ok(body));
}

#[test]
fn query_is_sent_as_it_is() {
    let addr = serve("127.0.0.1", |first, stream| reply("200 OK", first.as_bytes())(first, stream));
    let path = "/announce?pk=1&info_hash=%00%ff%20'~.-_&x=%2B";
    let seen = String::from_utf8(get(format!("http://{addr}{path}")).unwrap()).unwrap();
    assert_eq!(seen.replace("%27", "'"), format!("GET {path} HTTP/1.1"));
}

#[test]
fn chunked_and_gzip() {
    let chunked = b"4\r\nd1:a\r\n4;x=y\r\ni1ee\r\n0\r\n\r\n";
    let addr = serve("127.0.0.1", reply("200 OK\r\nTransfer-Encoding: chunked", chunked));
    assert_eq!(get(format!("http://{addr}/announce")), Ok(b"d1:ai1ee".to_vec()));
    for bad in [&b"zz\r\nabc"[..], b"ffffffffffffffffffff\r\nabc", b"-1\r\nabc", b"5\r\nab"] {
        let addr = serve("127.0.0.1", reply("200 OK\r\nTransfer-Encoding: chunked", bad));
        assert!(get(format!("http://{addr}/announce")).is_err());
    }
    let addr = serve("127.0.0.1", reply("200 OK\r\nContent-Encoding: gzip", b"\x1f\x8b\x08\0nonsense"));
    assert!(get(format!("http://{addr}/announce")).is_err());
}

#[test]
fn gzip_bomb_is_cut_off() {
    let addr = serve("127.0.0.1", reply("200 OK\r\nContent-Encoding: gzip", &zeros_in_gzip(64 << 20)));
    assert_eq!(get(format!("http://{addr}/announce")), Err("answer is longer than 1048576 bytes".into()));
}

#[test]
fn huge_body_is_cut_off() {
    let addr = serve("127.0.0.1", |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'd'; 65536]).is_ok() {}
    });
    assert_eq!(get(format!("http://{addr}/announce")), Err("answer is longer than 1048576 bytes".into()));
}

#[test]
fn error_status_without_bencoding_is_named() {
    let addr = serve("127.0.0.1", reply("404 Not Found", b"<html>"));
    assert_eq!(get(format!("http://{addr}/announce")), Err("HTTP status 404 Not Found".into()));
    let addr = serve("127.0.0.1", reply("400 Bad Request", b"d14:failure reason2:noe"));
    assert_eq!(get(format!("http://{addr}/announce")), Ok(b"d14:failure reason2:noe".to_vec()));
}

#[test]
fn silent_and_dripping_servers_time_out() {
    let timeout = Duration::from_millis(300);
    let (stop, stopped) = channel::<()>();
    let silent = serve("127.0.0.1", move |_, _| {
        let _ = stopped.recv();
    });
    let expected = Err("no answer within 0.3 s".to_owned());
    assert_eq!(get_within(format!("http://{silent}/announce"), timeout), expected);
    drop(stop);
    let dripping = serve("127.0.0.1", |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let tick = channel::<()>();
        while stream.write_all(b"d").is_ok() {
            let _ = tick.1.recv_timeout(Duration::from_millis(20));
        }
    });
    assert_eq!(get_within(format!("http://{dripping}/announce"), timeout), expected);
}

#[test]
fn nothing_and_nonsense_are_errors() {
    let nothing = serve("127.0.0.1", |_, _| {});
    let nonsense = serve("127.0.0.1", |_, stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n");
    });
    let header = serve("127.0.0.1", |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    for addr in [nothing, nonsense, header] {
        let error = get(format!("http://{addr}/0123456789abcdef/announce?pk=0123456789")).unwrap_err();
        assert!(!error.contains("0123456789"), "{error}");
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = get(format!("http://{closed}/announce")).unwrap_err();
    assert!(error.contains("refused"), "{error}");
    for url in ["", "x", "ftp://127.0.0.1/announce", "file:///etc/passwd", "http://", "http://\0/"] {
        assert!(get(url.into()).is_err(), "{url}");
    }
}

#[test]
fn redirects_are_followed_up_to_a_limit() {
    let addr = serve("127.0.0.1", |first, stream| {
        let n: usize = first.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        match n {
            0 => reply("200 OK", b"done")(first, stream),
            n => reply(&format!("302 Found\r\nLocation: ../{}/announce?x=1", n - 1), b"")(first, stream),
        }
    });
    assert_eq!(get(format!("http://{addr}/5/announce")), Ok(b"done".to_vec()));
    assert_eq!(get(format!("http://{addr}/6/announce")), Err("more than 5 redirects".into()));
    let addr = serve("127.0.0.1", reply("302 Found\r\nLocation: /announce", b""));
    assert_eq!(get(format!("http://{addr}/announce")), Err("more than 5 redirects".into()));
    for location in
        ["", "\r\nLocation: file:///etc/passwd", "\r\nLocation: http://[", "\r\nLocation: udp://x:1"]
    {
        let addr = serve("127.0.0.1", reply(&format!("302 Found{location}"), b""));
        assert!(get(format!("http://{addr}/announce")).is_err(), "{location}");
    }
}

#[test]
fn internet_may_not_redirect_into_the_local_network() {
    let secret = serve("127.0.0.1", reply("200 OK", b"secret"));
    let evil = serve("127.0.0.2", reply(&format!("302 Found\r\nLocation: http://{secret}/announce"), b""));
    let refused = Err("redirect from the internet into the local network".to_owned());
    assert_eq!(get(format!("http://{evil}/announce")), refused);
    // Not over a second hop and not under another name either.
    let hop = serve("127.0.0.2", reply(&format!("307 x\r\nLocation: http://{evil}/announce"), b""));
    assert_eq!(get(format!("http://{hop}/announce")), refused);
    let named = format!("302 Found\r\nLocation: http://localhost:{}/announce", secret.port());
    let named = serve("127.0.0.2", reply(&named, b""));
    assert_eq!(get(format!("http://{named}/announce")), refused);
    let number = format!("302 Found\r\nLocation: http://2130706433:{}/announce", secret.port());
    let number = serve("127.0.0.2", reply(&number, b""));
    assert_eq!(get(format!("http://{number}/announce")), refused);
    // The other direction and a stay on this machine are fine.
    let global = serve("127.0.0.2", reply("200 OK", b"fine"));
    let local = serve("127.0.0.1", reply(&format!("302 Found\r\nLocation: http://{global}/x"), b""));
    assert_eq!(get(format!("http://{local}/announce")), Ok(b"fine".to_vec()));
}

#[test]
fn this_machine_is_asked_for_announce_only() {
    let addr = serve("127.0.0.1", reply("200 OK", b"secret"));
    let refused = Err("path on this machine does not end in /announce".to_owned());
    for path in ["", "/", "/admin?x=/announce", "/announce/../admin", "/announcement"] {
        assert_eq!(get(format!("http://{addr}{path}")), refused, "{path}");
    }
    assert_eq!(get(format!("http://localhost:{}/key/announce", addr.port())), Ok(b"secret".to_vec()));
    let redirect = serve("127.0.0.1", reply("302 Found\r\nLocation: /admin", b""));
    assert_eq!(get(format!("http://{redirect}/announce")), refused);
}

#[test]
fn slow_requests_do_not_hold_up_others_and_every_one_is_answered_once() {
    let (stop, stopped) = channel::<()>();
    let silent = serve("127.0.0.1", move |_, _| {
        let _ = stopped.recv();
    });
    let quick = serve("127.0.0.1", reply("200 OK", b"ok"));
    let (pool, results) = pool(2);
    let request = |token, addr: SocketAddr| HttpRequest {
        token,
        url: format!("http://{addr}/announce"),
        timeout: Duration::from_secs(20),
        want: Want::Announce,
    };
    let begin = Instant::now();
    pool.get(request(0, silent));
    assert!(begin.elapsed() < Duration::from_secs(5), "get must not wait");
    for token in 1..=20 {
        pool.get(request(token, quick));
    }
    let mut seen: Vec<u64> =
        (0..20).map(|_| results.recv_timeout(Duration::from_secs(20)).unwrap().token).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    drop(stop);
    assert_eq!(results.recv_timeout(Duration::from_secs(25)).unwrap().token, 0);
    assert!(pool.shared.lock().threads <= 2);
}

#[test]
fn waiting_counts_against_the_time_out_and_urgent_ones_go_first() {
    let (stop, stopped) = channel::<()>();
    let silent = serve("127.0.0.1", move |_, _| {
        let _ = stopped.recv();
    });
    let quick = serve("127.0.0.1", reply("200 OK", b"ok"));
    let (pool, results) = pool(1);
    let request = |token, addr, millis| HttpRequest {
        token,
        url: format!("http://{addr}/announce"),
        timeout: Duration::from_millis(millis),
        want: Want::Announce,
    };
    // The first one keeps the only thread until it gives up.
    let begin = Instant::now();
    pool.get(request(1, silent, 1_500));
    pool.get(request(2, quick, 20_000));
    pool.get(request(3, silent, 1_500));
    let order: Vec<_> = (0..3).map(|_| results.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(order[2], HttpDone { token: 2, result: Ok(b"ok".to_vec()) });
    assert!(order[..2].iter().all(|done| done.result.is_err()));
    assert!(begin.elapsed() < Duration::from_millis(2_900), "{:?}", begin.elapsed());
    drop(stop);
}

#[test]
fn a_dropped_pool_delivers_nothing() {
    let (sender, receiver) = channel();
    let (stop, stopped) = channel::<()>();
    let (asked, was_asked) = channel::<()>();
    let silent = serve("127.0.0.1", move |_, _| {
        let _ = asked.send(());
        let _ = stopped.recv();
    });
    let pool = HttpPool::new(1, None, move |done| {
        let _ = sender.send(done);
    });
    let url = format!("http://{silent}/announce");
    pool.get(HttpRequest { token: 1, url, timeout: Duration::from_secs(20), want: Want::Announce });
    was_asked.recv().unwrap();
    let shared = Arc::downgrade(&pool.shared);
    drop(pool);
    drop(stop);
    // The sender goes with the last thread, so the channel ends without a message.
    assert!(receiver.recv_timeout(Duration::from_secs(25)).is_err());
    assert!(shared.upgrade().is_none());
}

/// A gzip stream of `len` zeros, from scratch: fixed Huffman codes, one literal, then matches of 258 at distance 1.
fn zeros_in_gzip(len: usize) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let (mut bits, mut count) = (0u64, 0);
    let mut put = |value: u64, n: u32, out: &mut Vec<u8>| {
        bits |= value << count;
        count += n;
        while count >= 8 {
            out.push(bits as u8);
            bits >>= 8;
            count -= 8;
        }
    };
    put(0b011, 3, &mut out); // last block, fixed codes
    put(0b0000_1100, 8, &mut out); // literal 0 is 00110000, written from its high bit
    for _ in 0..len / 258 {
        put(0b1010_0011, 8, &mut out); // length 258 is 11000101
        put(0, 5, &mut out); // distance 1
    }
    put(0, 7, &mut out); // end of block
    put(0, 7, &mut out); // to the next byte
    // Check sum and length are wrong: a reader that gets this far has failed already.
    out.extend([0; 8]);
    out
}

/// Asks from an address of our choice, and says what came of it.
fn get_from(from: &str, url: String, timeout: Duration) -> Result<Vec<u8>, String> {
    let (sender, receiver) = channel();
    let from = Some(from.parse().unwrap());
    let pool = HttpPool::with_classes(1, from, classes, move |done| {
        let _ = sender.send(done);
    });
    pool.get(HttpRequest { token: 1, url, timeout, want: Want::Announce });
    receiver.recv().unwrap().result
}

#[cfg(target_os = "linux")] // elsewhere only 127.0.0.1 is ours
#[test]
fn requests_leave_from_the_address_that_connections_are_bound_to() {
    let server = serve("127.0.0.1", |_, stream| {
        let peer = stream.peer_addr().unwrap().ip();
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{peer}");
    });
    let url = format!("http://{server}/announce");
    let second = Duration::from_secs(10);
    assert_eq!(get_from("127.0.0.7", url.clone(), second).unwrap(), b"127.0.0.7");
    assert_eq!(get_from("127.0.0.8", url, second).unwrap(), b"127.0.0.8");
}

#[test]
fn a_bound_request_fails_clearly() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    let e = get_from("127.0.0.1", url.clone(), Duration::from_millis(300)).unwrap_err();
    assert!(e.contains("no answer within 0.3 s"), "{e}");
    let e = get_from("::1", url.clone(), Duration::from_secs(5)).unwrap_err();
    assert!(e.contains("cannot be reached from ::1"), "{e}");
    drop(silent);
    let e = get_from("127.0.0.1", url, Duration::from_secs(5)).unwrap_err();
    assert!(e.contains("cannot talk to the server") || e.contains("cannot connect"), "{e}");
}
