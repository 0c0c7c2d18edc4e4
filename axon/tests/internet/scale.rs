//! Thousands of connections in one process.

use std::time::{Duration, Instant};

use axon::chassis::SimpleServer;
use axon::internet::TcpClient;
use axon::prelude::*;
use axon::util::PureTransformer;

use super::common::*;

/// How many connections, with both ends here, the limit of descriptors allows. Says so if that is few.
fn affordable(wanted: usize) -> usize {
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let line = limits.lines().find(|l| l.starts_with("Max open files"));
        let soft = line.and_then(|l| l.split_whitespace().nth(3)?.parse::<usize>().ok());
        if let Some(soft) = soft
            && soft < 2 * wanted + 200
        {
            let fewer = soft.saturating_sub(200) / 2;
            eprintln!("the limit of {soft} descriptors allows {fewer} connections, not {wanted}");
            return fewer;
        }
    }
    wanted
}

/// One selector and one server for all; every client gets its own answer, twice.
#[test]
fn u60_u61_u62_ch_srv_thousands_of_connections_in_one_process() {
    let connections = affordable(2000);
    run(async move |cx| {
        let server = SimpleServer::new(|| PureTransformer::new(|bytes: Vec<u8>| Some(bytes)));
        let server = server.on((std::net::Ipv4Addr::LOCALHOST, 0)).create();
        cx.link(&server.listening, &cx.addresses).unwrap();
        cx.activate(&server);
        let addr = cx.addresses.recv().await;
        let begin = Instant::now();
        let mut clients = Vec::new();
        for i in 0..connections {
            let client = cx.launch(TcpClient::new("127.0.0.1", addr.port()));
            cx.link(&client.outbox, &cx.inbox).unwrap();
            client.inbox.deliver((i as u32).to_be_bytes().to_vec()).unwrap();
            clients.push(client);
        }
        let mut answers = vec![0; connections];
        for round in 1..=2 {
            let mut left = connections;
            while left > 0 {
                let answer = cx.inbox.recv().await;
                let i = u32::from_be_bytes(answer[..4].try_into().unwrap()) as usize;
                assert_eq!(answer.len(), 4);
                answers[i] += 1;
                left -= 1;
            }
            assert!(answers.iter().all(|n| *n == round));
            if round == 1 {
                for (i, client) in clients.iter().enumerate() {
                    client.inbox.deliver((i as u32).to_be_bytes().to_vec()).unwrap();
                }
            }
        }
        eprintln!("{connections} connections, two answers each: {:?}", begin.elapsed());
        // Idle connections cost no turns.
        cx.sleep(Duration::from_millis(50)).await;
        let before = cx.pass();
        cx.sleep(Duration::from_millis(50)).await;
        assert!(cx.pass() - before < 10);
        let begin = Instant::now();
        drop(clients);
        server.stop();
        cx.add_child(&server);
        while !server.is_stopped() {
            cx.pause().await;
        }
        eprintln!("closed: {:?}", begin.elapsed());
    });
}
