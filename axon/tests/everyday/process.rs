//! Programs as components.

use std::fs;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use axon::file::{UnixProcess, UnixProcessPorts};
use axon::prelude::*;
use axon::util::DataSource;

use crate::common::{body, fresh};
use crate::probe::*;

axon::ports! { pub struct Ends { in { out: Vec<u8>, error: Vec<u8>, exit: ExitStatus, control: Ipc } out {} } }
struct All;
impl Component for All {
    type Ports = Ends;
    async fn main(self, _: Cx<Ends>) {}
}

fn watched(p: UnixProcess) -> (Instance<UnixProcessPorts>, Instance<Ends>) {
    let (p, end) = (p.create(), All.create());
    axon::link(&p.outbox, &end.out).unwrap();
    axon::link(&p.error, &end.error).unwrap();
    axon::link(&p.exit, &end.exit).unwrap();
    axon::link(&p.signal, &end.control).unwrap();
    (p, end)
}

/// Runs a command with the given input, and returns both outputs, the exit code and what was signalled.
fn run(p: UnixProcess, input: &[&str]) -> (String, String, Option<i32>, Vec<&'static str>) {
    let s = fresh();
    let (p, end) = watched(p);
    input.iter().for_each(|t| p.inbox.deliver(t.as_bytes().to_vec()).unwrap());
    p.control.deliver(pf()).unwrap();
    s.activate(&p);
    s.run().unwrap();
    let text = |b: Vec<Vec<u8>>| String::from_utf8(b.concat()).unwrap();
    let code = end.exit.try_recv().unwrap().code();
    let signals = end.control.drain().map(|m| m.kind()).collect();
    (text(end.out.drain().collect()), text(end.error.drain().collect()), code, signals)
}

#[test]
fn unix_process_feeds_a_program_and_sends_what_it_writes() {
    assert_eq!(
        run(UnixProcess::new("cat"), &["a", "b\n"]),
        ("ab\n".into(), String::new(), Some(0), vec![PF])
    );
    let (out, _, _, _) = run(UnixProcess::new("sort"), &["pear\n", "apple\nfig\n"]);
    assert_eq!(out, "apple\nfig\npear\n");
}

#[test]
fn unix_process_tells_both_outputs_and_the_exit_status() {
    let (out, error, code, _) = run(UnixProcess::new("echo out; echo err >&2; exit 3"), &[]);
    assert_eq!((&out[..], &error[..], code), ("out\n", "err\n", Some(3)));
    assert_eq!(run(UnixProcess::new("false"), &[]).2, Some(1));
}

#[test]
fn unix_process_runs_a_command_without_a_shell() {
    let mut command = Command::new("sh");
    command.args(["-c", "pwd; echo \"$1 $X\"", "sh", "a  b"]).current_dir("/").env("X", "y");
    assert_eq!(run(UnixProcess::command(command), &[]).0, "/\na  b y\n");
}

#[test]
fn unix_process_that_is_missing_is_an_error_that_names_it() {
    let s = fresh();
    s.activate(UnixProcess::command(Command::new("no-such-program")));
    let e = s.run().unwrap_err().to_string();
    assert!(e.contains("cannot start \"no-such-program\"") && e.contains("No such file"), "{e}");
    let (_, error, code, _) = run(UnixProcess::new("no-such-program"), &[]);
    assert!(error.contains("no-such-program") && code == Some(127), "{error}");
}

#[test]
fn unix_process_finishes_a_queue_longer_than_that_of_its_thread() {
    let lines: Vec<String> = (0..2000).map(|n| format!("{n}\n")).collect();
    let input: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(run(UnixProcess::new("cat"), &input).0, lines.concat());
}

#[test]
fn unix_process_moves_more_than_the_pipes_hold_in_both_directions() {
    // cat stops reading while nobody reads what it writes; none of the two may wait for the other for ever.
    let block = "x".repeat(1 << 20);
    let (out, _, _, _) = run(UnixProcess::new("cat").buffer_size(5000), &[&block[..]; 8]);
    assert_eq!(out.len(), 8 << 20);
}

#[test]
fn unix_process_works_in_a_pipeline() {
    let s = fresh();
    let source = DataSource::new(vec![b"x\n".to_vec(); 42]);
    let (cat, wc) = (UnixProcess::new("cat"), UnixProcess::new("wc -l"));
    let pipeline = Pipeline::new().then(source).then(cat).then(wc).create();
    let end = probe::<Message>();
    axon::link(&pipeline.outbox, &end.inbox).unwrap();
    s.activate(&pipeline);
    s.run().unwrap();
    assert_eq!(end.inbox.try_recv().unwrap().to_string().trim(), "42");
}

#[test]
fn unix_process_is_stopped_by_a_slow_reader() {
    let s = fresh();
    let (p, end) = watched(UnixProcess::command(Command::new("yes")).buffer_size(1000));
    end.out.set_bound(2);
    s.activate(&p);
    run_until(&s, || end.out.len() == 2);
    // What is held: the receiver's two, the thread's queue, the pipe. It does not grow, and nobody works.
    let pid = child_of_this_process("yes");
    // It may rest for a moment before all is full, too.
    let start = Instant::now();
    loop {
        run_until(&s, || state_of(pid) == 'S');
        let time = cpu_time_of(pid);
        std::thread::sleep(Duration::from_millis(50));
        s.run_until_idle().unwrap();
        if (state_of(pid), cpu_time_of(pid)) == ('S', time) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it works on");
    }
    for _ in 0..1000 {
        run_until(&s, || !end.out.is_empty());
        assert!(end.out.try_recv().is_some_and(|d| d.len() <= 1000));
    }
    p.control.deliver(sm()).unwrap();
    while !p.is_stopped() {
        end.out.drain().for_each(drop);
        s.run_until_idle().unwrap();
    }
    assert!(end.control.try_recv().is_some_and(|m| m.is_shutdown_microprocess()));
}

#[test]
fn unix_process_that_does_not_read_stops_the_sender() {
    let s = fresh();
    let (p, end) = watched(UnixProcess::new("exec sleep 1000"));
    p.inbox.set_bound(3);
    let source = body(async |cx| {
        for _ in 0..1000 {
            cx.outbox.send_wait(Message::new(vec![0_u8; 10_000])).await.unwrap();
        }
    });
    axon::link(&source.outbox, p.inbox.untyped()).unwrap();
    s.activate(&p);
    s.activate(&source);
    // The thread may still take some on the way to the pipe: 64 KiB there, 5 messages with the thread, 3 here.
    let start = Instant::now();
    loop {
        run_until(&s, || p.inbox.len() == 3);
        std::thread::sleep(Duration::from_millis(50));
        s.run_until_idle().unwrap();
        assert!(!source.is_stopped());
        if p.inbox.len() == 3 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it takes more and more");
    }
    p.control.deliver(sm()).unwrap();
    source.stop();
    s.run().unwrap();
    assert_eq!(end.exit.try_recv().unwrap().code(), None, "killed");
}

#[test]
fn unix_process_that_closes_its_input_drops_the_rest_and_ends() {
    let lines = vec!["line\n".repeat(1000); 500];
    let input: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (out, _, code, _) = run(UnixProcess::new("yes | head -n 3"), &input);
    assert_eq!((&out[..], code), ("y\ny\ny\n", Some(0)));
    let (out, _, code, _) = run(UnixProcess::new("head -n 1; exec <&-; echo on"), &input);
    assert_eq!((&out[..], code), ("line\non\n", Some(0)));
}

#[test]
fn unix_process_ends_without_being_told_when_its_program_does() {
    let s = fresh();
    let (p, end) = watched(UnixProcess::new("echo done"));
    s.activate(&p);
    s.run().unwrap();
    assert_eq!(end.out.try_recv().unwrap(), b"done\n");
    let last = end.control.try_recv();
    assert!(matches!(&last, Some(Ipc::ProducerFinished(m)) if m.caller == Some(p.id())), "{last:?}");
}

#[test]
fn unix_process_waits_for_a_program_that_closed_its_outputs() {
    let s = fresh();
    let (p, end) = watched(UnixProcess::new("exec >&- 2>&-; read line; exit 7"));
    s.activate(&p);
    s.run_until_idle().unwrap();
    std::thread::sleep(Duration::from_millis(30));
    s.run_until_idle().unwrap();
    assert!(!p.is_stopped());
    p.inbox.deliver(b"go\n".to_vec()).unwrap();
    s.run().unwrap();
    assert_eq!(end.exit.try_recv().unwrap().code(), Some(7));
}

#[test]
fn unix_process_killed_by_shutdown_microprocess_leaves_no_zombie() {
    let s = fresh();
    let (p, end) = watched(UnixProcess::new("echo $$; exec sleep 1000"));
    s.activate(&p);
    run_until(&s, || !end.out.is_empty());
    let pid = String::from_utf8(end.out.try_recv().unwrap()).unwrap();
    let start = Instant::now();
    p.control.deliver(sm()).unwrap();
    s.run().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));
    assert!(!exists(&format!("/proc/{}", pid.trim())));
    assert!(end.control.try_recv().is_some_and(|m| m.is_shutdown_microprocess()));
}

#[test]
fn unix_process_is_killed_and_collected_when_it_is_dropped_or_stopped() {
    for stops in [false, true] {
        let s = fresh();
        let (p, end) = watched(UnixProcess::new("echo $$; exec sleep 1000"));
        s.activate(&p);
        run_until(&s, || !end.out.is_empty());
        let pid = String::from_utf8(end.out.try_recv().unwrap()).unwrap();
        if stops {
            s.stop();
            s.run().unwrap();
        }
        drop((p, s));
        Scheduler::set_thread_default(None);
        let start = Instant::now();
        while exists(&format!("/proc/{}", pid.trim())) {
            assert!(start.elapsed() < Duration::from_secs(60), "{pid} lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// In a process of its own, since other tests open files meanwhile.
#[test]
fn unix_process_leaks_no_descriptors_and_no_threads_and_does_not_spin() {
    if std::env::var_os("AXON_COUNTS_DESCRIPTORS").is_none() {
        let test = "process::unix_process_leaks_no_descriptors_and_no_threads_and_does_not_spin";
        let me = std::env::current_exe().unwrap();
        let status = Command::new(me).args([test, "--exact"]).env("AXON_COUNTS_DESCRIPTORS", "1").status();
        assert!(status.unwrap().success());
        return;
    }
    let count = |of: &str| fs::read_dir(of).unwrap().count();
    let round = || {
        run(UnixProcess::new("cat"), &["x"]);
        run(UnixProcess::new("yes | head -n 3"), &["x"]);
        let s = fresh();
        let (p, end) = watched(UnixProcess::new("yes"));
        end.out.set_bound(1);
        s.activate(&p);
        run_until(&s, || !end.out.is_empty());
        // While the receiver is full the threads sleep, though the program's output is there to be read.
        let start = Instant::now();
        loop {
            let before = cpu_time_of(std::process::id());
            std::thread::sleep(Duration::from_millis(100));
            if cpu_time_of(std::process::id()) - before < 5 {
                break;
            }
            // Until it is full, which takes a moment.
            assert!(start.elapsed() < Duration::from_secs(20), "50 ms of processor time in 100 ms");
        }
        p.control.deliver(sm()).unwrap();
        while !p.is_stopped() {
            end.out.drain().for_each(drop);
            s.run_until_idle().unwrap();
        }
        s.activate(UnixProcess::command(Command::new("no-such-program")));
        s.run().unwrap_err();
    };
    round();
    let settle = |of: &str, limit: usize| {
        let start = Instant::now();
        while count(of) > limit {
            assert!(start.elapsed() < Duration::from_secs(60), "{} in {of}, not {limit}", count(of));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    settle("/proc/self/task", 2);
    let before = count("/proc/self/fd");
    (0..5).for_each(|_| round());
    settle("/proc/self/task", 2);
    settle("/proc/self/fd", before);
}

/// The number of the child of this process that runs a program of that name.
fn child_of_this_process(name: &str) -> u32 {
    let start = Instant::now();
    loop {
        for entry in fs::read_dir("/proc").unwrap() {
            let Ok(pid) = entry.unwrap().file_name().to_string_lossy().parse::<u32>() else { continue };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let parent = stat.rsplit(')').next().and_then(|r| r.split_whitespace().nth(1)?.parse().ok());
            if stat.contains(&format!("({name})")) && parent == Some(std::process::id()) {
                return pid;
            }
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no child runs {name}");
    }
}

fn stat_of(pid: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().map(String::from).collect()
}

fn state_of(pid: u32) -> char {
    stat_of(pid)[0].chars().next().unwrap()
}

/// In ticks of 10 ms.
fn cpu_time_of(pid: u32) -> u64 {
    stat_of(pid)[11..13].iter().map(|t| t.parse::<u64>().unwrap()).sum()
}
