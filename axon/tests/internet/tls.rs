//! U-61, U-63: `makessl` and `sslready`, with servers and clients that are not ours at the other end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use axon::Ipc;
use axon::chassis::SimpleServer;
use axon::internet::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use axon::internet::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
};
use axon::internet::{TcpClient, TcpClientPorts, Tls};
use axon::prelude::*;

use super::common::*;

struct Identity {
    cert: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// A certificate for `localhost` that nobody has signed but itself.
fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    Identity { cert: made.cert.der().clone(), key: made.signing_key.serialize_der().into() }
}

fn server_config(id: &Identity) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(id.key.clone_key());
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![id.cert.clone()], key).unwrap())
}

/// Trusts that certificate alone.
fn client_config(id: &Identity) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(id.cert.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn client(cx: &Tester, client: TcpClient) -> Instance<TcpClientPorts> {
    let client = client.create();
    cx.link(&cx.outbox, &client.inbox).unwrap();
    cx.link(&cx.signal, &client.control).unwrap();
    cx.link(&client.outbox, &cx.inbox).unwrap();
    cx.link(&client.signal, &cx.control).unwrap();
    cx.link(&client.sslready, &cx.ready).unwrap();
    cx.activate(&client);
    client
}

#[test]
fn u61_u63_tls_from_the_start_carries_megabytes_and_ends_in_order() {
    run(async |cx| {
        let id = identity();
        let (config, trust) = (server_config(&id), client_config(&id));
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("localhost", port));
        c.makessl.deliver(Message::new(Tls::client_with(trust))).unwrap();
        let data = pattern(3_000_000);
        let back = data.clone();
        let server = std::thread::spawn(move || {
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), accept(&listener));
            let mut got = vec![0; 3_000_000];
            tls.read_exact(&mut got).unwrap();
            assert!(got == back);
            tls.write_all(&got).unwrap();
            let mut rest = Vec::new();
            tls.read_to_end(&mut rest).expect("it said that it had finished");
            assert!(rest.is_empty());
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        });
        cx.ready.recv().await;
        for part in data.chunks(70_000) {
            cx.outbox.send_wait(part.to_vec()).await.unwrap();
        }
        assert!(collect(&cx.inbox, data.len()).await == data);
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "producer finished");
        elsewhere(move || server.join().unwrap()).await;
    });
}

/// Nothing leaves in the clear by accident: what waits when TLS is asked for waits until it is spoken.
#[test]
fn u63_tls_in_the_middle_encrypts_what_waits() {
    run(async |cx| {
        let id = identity();
        let (config, trust) = (server_config(&id), client_config(&id));
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("localhost", port));
        cx.outbox.send(b"STARTTLS\n".to_vec()).unwrap();
        let peer = elsewhere(move || {
            let mut peer = accept(&listener);
            assert_eq!(read_exactly(&mut peer, 9), b"STARTTLS\n");
            say(&mut peer, b"go ahead\n");
            peer
        })
        .await;
        assert_eq!(collect(&cx.inbox, 9).await, b"go ahead\n");
        cx.outbox.send(b"secret\n".to_vec()).unwrap();
        c.makessl.deliver(Message::new(Tls::client_with(trust))).unwrap();
        elsewhere(move || {
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), peer);
            let mut got = [0; 7];
            tls.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"secret\n");
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        })
        .await;
        cx.ready.recv().await;
        assert_eq!(remark(&cx.control.recv().await), "closed by peer");
    });
}

#[test]
fn u63_tls_after_queued_sends_the_last_words_in_the_clear() {
    run(async |cx| {
        let id = identity();
        let (config, trust) = (server_config(&id), client_config(&id));
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("localhost", port));
        cx.outbox.send(b"clear\n".to_vec()).unwrap();
        c.makessl.deliver(Message::new(Tls::client_with(trust).after_queued())).unwrap();
        let server = std::thread::spawn(move || {
            let mut peer = accept(&listener);
            assert_eq!(read_exactly(&mut peer, 6), b"clear\n");
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), peer);
            let mut got = [0; 1];
            tls.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"!");
        });
        cx.ready.recv().await;
        cx.outbox.send(b"!".to_vec()).unwrap();
        elsewhere(move || server.join().unwrap()).await;
    });
}

#[test]
fn u63_a_certificate_that_is_not_trusted_ends_the_connection() {
    run(async |cx| {
        let (id, other) = (identity(), identity());
        let (config, trust) = (server_config(&id), client_config(&other));
        // Not trusted; not trusted by the usual authorities; another name.
        let wishes = [
            Message::new(Tls::client_with(trust)),
            Message::from("please"),
            Message::new(Tls::client_with(client_config(&id)).server_name("example.org")),
        ];
        for wish in wishes {
            let (listener, port) = listener();
            let c = client(&cx, TcpClient::new("localhost", port));
            c.makessl.deliver(wish).unwrap();
            let config = config.clone();
            elsewhere(move || {
                let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), accept(&listener));
                assert!(tls.read(&mut [0; 1]).is_err(), "the server is told by an alert");
            })
            .await;
            let end = remark(&cx.control.recv().await);
            assert!(end.starts_with("TLS: invalid peer certificate"), "{end}");
            assert!(cx.ready.is_empty());
            cx.unlink_component(&c);
        }
    });
}

#[test]
fn u63_a_connection_that_is_cut_off_under_tls_is_no_orderly_end() {
    run(async |cx| {
        let id = identity();
        let (config, trust) = (server_config(&id), client_config(&id));
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("localhost", port));
        c.makessl.deliver(Message::new(Tls::client_with(trust))).unwrap();
        elsewhere(move || {
            let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), accept(&listener));
            tls.write_all(b"half a ").unwrap();
            tls.flush().unwrap();
            tls.sock.shutdown(std::net::Shutdown::Both).unwrap();
        })
        .await;
        assert_eq!(collect(&cx.inbox, 7).await, b"half a ");
        assert_eq!(remark(&cx.control.recv().await), "TLS: the peer closed without a word");
    });
}

/// A peer that speaks no TLS, or says nothing at all.
#[test]
fn u63_a_peer_without_tls_ends_or_stalls() {
    run(async |cx| {
        let options = axon::internet::AdapterOptions {
            patience: std::time::Duration::from_millis(50),
            ..Default::default()
        };
        let (listener, port) = listener();
        let c = client(&cx, TcpClient::new("localhost", port).options(options.clone()));
        c.makessl.deliver(Message::new(Tls::client())).unwrap();
        let theirs = listener.try_clone().unwrap();
        let _peer = elsewhere(move || {
            let mut peer = accept(&theirs);
            say(&mut peer, b"220 hello, this is no TLS at all\r\n");
            peer
        })
        .await;
        let end = remark(&cx.control.recv().await);
        assert!(end.starts_with("TLS: received corrupt message"), "{end}");
        cx.unlink_component(&c);

        let c = client(&cx, TcpClient::new("localhost", port).options(options));
        c.makessl.deliver(Message::new(Tls::client())).unwrap();
        let _peer = elsewhere(move || {
            let mut peer = accept(&listener);
            read_exactly(&mut peer, 5);
            peer
        })
        .await;
        let before = cx.pass();
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "the peer takes no data");
        assert!(cx.pass() - before < 30, "it sleeps while it waits");
    });
}

ports! {
    struct ShyPorts {
        in { inbox: Vec<u8>, control: Ipc, sslready: () }
        out { outbox: Vec<u8>, signal: Ipc, makessl: Message }
    }
}

/// Agrees to TLS when it is asked, then sends everything back.
struct Shy(Arc<ServerConfig>);

impl Component for Shy {
    type Ports = ShyPorts;
    async fn main(self, cx: Cx<ShyPorts>) {
        assert_eq!(collect(&cx.inbox, 9).await, b"STARTTLS\n");
        cx.outbox.send(b"go ahead\n".to_vec()).unwrap();
        cx.makessl.send(Message::new(Tls::server(self.0).after_queued())).unwrap();
        cx.sslready.recv().await;
        loop {
            while let Some(bytes) = cx.inbox.try_recv() {
                cx.outbox.send_wait(bytes).await.unwrap();
            }
            if cx.control.try_recv().is_some() {
                return;
            }
            cx.pause().await;
        }
    }
}

/// Sends a megabyte through TLS and back, and ends in order.
fn through_tls(trust: Arc<ClientConfig>, stream: TcpStream) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = StreamOwned::new(ClientConnection::new(trust, name).unwrap(), stream);
    for part in pattern(1_000_000).chunks(10_000) {
        tls.write_all(part).unwrap();
        let mut back = vec![0; part.len()];
        tls.read_exact(&mut back).unwrap();
        assert!(back == part);
    }
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    assert_eq!(tls.read(&mut [0; 1]).unwrap(), 0, "it answers with an orderly end");
}

#[test]
fn u63_ch_srv_03_a_protocol_can_begin_tls_after_some_words() {
    run(async |cx| {
        let id = identity();
        let (config, trust) = (server_config(&id), client_config(&id));
        let server = SimpleServer::new(move || Shy(config.clone())).on((std::net::Ipv4Addr::LOCALHOST, 0));
        let server = server.create();
        cx.link(&server.listening, &cx.addresses).unwrap();
        cx.activate(&server);
        let addr = cx.addresses.recv().await;
        elsewhere(move || {
            let mut stream = dial(addr);
            say(&mut stream, b"STARTTLS\n");
            assert_eq!(read_exactly(&mut stream, 9), b"go ahead\n");
            through_tls(trust, stream);
        })
        .await;
    });
}

#[test]
fn u63_ch_srv_a_server_can_speak_tls_from_the_first_byte_on() {
    run(async |cx| {
        let id = identity();
        let trust = client_config(&id);
        let server = SimpleServer::new(|| axon::util::PureTransformer::new(|bytes: Vec<u8>| Some(bytes)));
        let server = server.on((std::net::Ipv4Addr::LOCALHOST, 0)).tls(Tls::server(server_config(&id)));
        let server = server.create();
        cx.link(&server.listening, &cx.addresses).unwrap();
        cx.activate(&server);
        let addr = cx.addresses.recv().await;
        elsewhere(move || (0..5).for_each(|_| through_tls(trust.clone(), dial(addr)))).await;
    });
}

/// A server that others wrote. Says so where `openssl` is not installed.
#[test]
fn u61_with_openssl_s_server() {
    use std::process::{Command, Stdio};
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("NOT TESTED with openssl s_server: openssl is not installed");
        return;
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let dir = std::env::temp_dir().join(format!("axon-tls-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let id = Identity { cert: made.cert.der().clone(), key: made.signing_key.serialize_der().into() };
    // It takes port 0 and prints the real one: `ACCEPT 127.0.0.1:34567`. `-rev` sends each line back reversed.
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-rev", "-cert"])
        .arg(dir.join("cert.pem"))
        .arg("-key")
        .arg(dir.join("key.pem"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().unwrap()));
    let accept = lines.by_ref().map_while(Result::ok).find(|l| l.starts_with("ACCEPT "));
    let port = accept.and_then(|l| l.rsplit(':').next()?.trim().parse::<u16>().ok());
    let Some(port) = port else {
        let _ = server.kill();
        let _ = server.wait();
        panic!("openssl s_server said nothing of its port");
    };
    let drain = std::thread::spawn(move || lines.for_each(drop));
    let trust = client_config(&id);
    run(async move |cx| {
        let c = client(&cx, TcpClient::new("localhost", port));
        c.makessl.deliver(Message::new(Tls::client_with(trust))).unwrap();
        cx.ready.recv().await;
        cx.outbox.send(b"hello\n".to_vec()).unwrap();
        assert_eq!(collect(&cx.inbox, 6).await, b"olleh\n");
        cx.signal.send(Ipc::producer_finished()).unwrap();
        assert_eq!(remark(&cx.control.recv().await), "producer finished");
    });
    let _ = server.kill();
    let _ = server.wait();
    let _ = drain.join();
    let _ = std::fs::remove_dir_all(dir);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
