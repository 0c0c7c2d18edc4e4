use super::*;

fn context() -> AnnounceContext {
    AnnounceContext {
        info_hash: InfoHash([1; 20]),
        peer_id: *b"-KT0100-abcdefghijkl",
        port: 6881,
        key: 7,
        numwant: 50,
    }
}

struct World {
    now: Instant,
    announcer: Announcer,
}

impl World {
    fn new(tiers: &[&[&str]]) -> World {
        let tiers: Vec<Vec<String>> =
            tiers.iter().map(|t| t.iter().map(|u| (*u).to_owned()).collect()).collect();
        let now = Instant::now();
        let mut announcer = Announcer::new(&tiers, context(), fastrand::Rng::with_seed(1));
        announcer.start(now);
        World { now, announcer }
    }

    fn poll(&mut self) -> Option<AnnounceRequest> {
        let mut turns = Turns::new(16);
        let step = self
            .announcer
            .poll(self.now, AnnounceStats::default(), |t| turns.turn(self.now, t, (), false))?;
        let Step::Ask(request) = step else { panic!("{step:?}") };
        Some(request)
    }

    fn request(&mut self) -> AnnounceRequest {
        self.poll().expect("a request")
    }

    fn answer(&mut self, request: &AnnounceRequest, body: &str) -> AnnounceOutcome {
        self.announcer.response(self.now, request.id, Ok(body.as_bytes()))
    }

    fn fail(&mut self, request: &AnnounceRequest) -> Duration {
        match self.announcer.response(self.now, request.id, Err("connection refused".into())) {
            AnnounceOutcome::Failed { retry_in, .. } => retry_in,
            other => panic!("{other:?}"),
        }
    }

    /// Goes to the next deadline and says how long that took.
    fn wait(&mut self) -> Duration {
        let deadline = self.announcer.deadline().expect("a deadline");
        let waited = deadline.saturating_duration_since(self.now);
        self.now = self.now.max(deadline);
        waited
    }
}

const OK: &str = "d8:intervali1800e5:peers6:\x01\x02\x03\x04\x05\x06e";

#[test]
fn started_once_then_periodic_at_the_interval() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let request = w.request();
    assert_eq!(request.event, AnnounceEvent::Started);
    assert!(w.poll().is_none(), "one request in flight");
    let outcome = w.answer(&request, OK);
    assert!(
        matches!(outcome, AnnounceOutcome::Ok { peers, .. } if peers == ["1.2.3.4:1286".parse().unwrap()])
    );
    assert!(w.poll().is_none());
    assert_eq!(w.wait(), Duration::from_secs(1800));
    assert_eq!(w.request().event, AnnounceEvent::Periodic);
}

#[test]
fn intervals_are_clamped() {
    for (interval, waits) in
        [("0", 60), ("-1", 60), ("59", 60), ("61", 61), ("9223372036854775807", 86_400), ("86401", 86_400)]
    {
        let mut w = World::new(&[&["http://a/announce"]]);
        let request = w.request();
        w.answer(&request, &format!("d8:intervali{interval}ee"));
        assert_eq!(w.wait(), Duration::from_secs(waits), "{interval}");
    }
}

#[test]
fn want_peers_waits_for_the_minimum_interval() {
    for (answer, waits) in [
        ("d8:intervali1800e12:min intervali300ee", 300),
        ("d8:intervali1800ee", 60),
        ("d8:intervali1800e12:min intervali0ee", 5),
        ("d8:intervali90e12:min intervali9999ee", 90),
    ] {
        let mut w = World::new(&[&["http://a/announce"]]);
        let request = w.request();
        w.answer(&request, answer);
        w.announcer.want_peers(w.now);
        assert!(w.poll().is_none());
        assert_eq!(w.wait(), Duration::from_secs(waits), "{answer}");
        assert_eq!(w.request().event, AnnounceEvent::Periodic);
    }
}

#[test]
fn wanting_peers_all_the_time_becomes_rare() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let request = w.request();
        w.answer(&request, "d8:intervali1800ee");
        w.announcer.want_peers(w.now);
        waits.push(w.wait().as_secs());
    }
    // The one at the regular time begins anew.
    assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 60]);
}

#[test]
fn failing_trackers_are_passed_over_and_the_good_one_is_promoted() {
    let mut w = World::new(&[&["http://a/announce", "http://b/announce"], &["http://c/announce"]]);
    let first = w.request();
    w.fail(&first);
    let second = w.request();
    assert_ne!(first.tracker, second.tracker);
    assert!(!second.tracker.contains("//c"), "the first tier comes first");
    w.answer(&second, OK);
    assert_eq!(w.announcer.status().next().unwrap().tracker, second.tracker);
    // The third is asked only when the first two fail, and then the first tier again.
    w.wait();
    let again = w.request();
    assert_eq!((again.tracker.as_str(), again.event), (second.tracker.as_str(), AnnounceEvent::Periodic));
    w.fail(&again);
    let next = w.request();
    assert_eq!((next.tracker.as_str(), next.event), (first.tracker.as_str(), AnnounceEvent::Started));
    w.fail(&next);
    let third = w.request();
    assert_eq!(third.tracker, "http://c/announce");
    w.answer(&third, OK);
    w.wait();
    assert_ne!(w.request().tracker, third.tracker);
}

#[test]
fn back_off_doubles_with_jitter_up_to_a_limit() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let mut nominal = 15.0;
    for _ in 0..20 {
        let request = w.request();
        let retry = w.fail(&request).as_secs_f64();
        assert!((nominal * 0.75..=nominal * 1.25).contains(&retry), "{retry} {nominal}");
        assert!(w.poll().is_none());
        assert_eq!(w.wait().as_secs_f64(), retry);
        nominal = f64::min(nominal * 2.0, 1800.0);
    }
    let request = w.request();
    w.answer(&request, OK);
    w.wait();
    let request = w.request();
    assert!(w.fail(&request).as_secs_f64() <= 15.0 * 1.25, "a success starts anew");
}

#[test]
fn tracker_decides_when_to_come_back_within_limits() {
    for (retry, at_least, at_most) in [("i10e", 600, 600), ("5:never", 86_400, 86_400), ("i0e", 11, 19)] {
        let mut w = World::new(&[&["http://a/announce"]]);
        let request = w.request();
        let AnnounceOutcome::Failed { retry_in, reason, .. } =
            w.answer(&request, &format!("d14:failure reason4:busy8:retry in{retry}e"))
        else {
            panic!("a failure")
        };
        assert_eq!(reason, "busy");
        assert!((at_least..=at_most).contains(&retry_in.as_secs()), "{retry} {retry_in:?}");
    }
}

#[test]
fn an_answer_that_never_comes_does_not_stall() {
    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"]]);
    let lost = w.request();
    assert_eq!(w.wait(), lost.timeout + Duration::from_secs(5));
    let next = w.request();
    assert_ne!(lost.tracker, next.tracker);
    assert_eq!(w.answer(&lost, OK), AnnounceOutcome::Ignored, "too late");
    assert!(w.poll().is_none(), "the second request is still out");
    let status: Vec<_> = w.announcer.status().collect();
    assert_eq!((status[0].failures, status[0].message.as_deref()), (1, Some("no answer")));
}

#[test]
fn completed_is_told_once_and_at_once_even_during_another_request() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let started = w.request();
    w.announcer.completed(w.now);
    assert!(w.poll().is_none());
    w.answer(&started, OK);
    let completed = w.request();
    assert_eq!(completed.event, AnnounceEvent::Completed);
    let retry = w.fail(&completed);
    assert_eq!(w.wait(), retry);
    let completed = w.request();
    assert_eq!(completed.event, AnnounceEvent::Completed, "not lost by a failure");
    w.answer(&completed, OK);
    assert_eq!(w.wait(), Duration::from_secs(1800));
    assert_eq!(w.request().event, AnnounceEvent::Periodic);
}

#[test]
fn stopped_goes_to_all_that_were_told_started() {
    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"], &["http://c/announce"]]);
    let a = w.request();
    w.answer(&a, OK);
    w.wait();
    let a = w.request();
    w.fail(&a);
    let b = w.request();
    assert_eq!(b.tracker, "http://b/announce");
    // The answer of b is still out: it may know us.
    w.announcer.stop(w.now);
    assert!(!w.announcer.is_stopped());
    assert!(w.announcer.deadline().is_some_and(|d| d <= w.now));
    let stops = [w.request(), w.request()];
    assert!(w.poll().is_none());
    assert!(stops.iter().all(|s| s.event == AnnounceEvent::Stopped && s.timeout == Duration::from_secs(5)));
    assert!(stops.iter().all(|s| s.tracker != "http://c/announce") && stops[0].tracker != stops[1].tracker);
    assert_eq!(w.answer(&b, OK), AnnounceOutcome::Ignored);
    w.answer(&stops[0], OK);
    assert!(!w.announcer.is_stopped());
    w.fail(&stops[1]);
    assert!(w.announcer.is_stopped(), "a failed stop is not repeated");
    assert_eq!((w.announcer.deadline(), w.poll()), (None, None));
    w.announcer.start(w.now + Duration::from_secs(3600));
    w.wait();
    assert_eq!(w.request().event, AnnounceEvent::Started);
}

#[test]
fn a_stop_without_answer_ends_too() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let request = w.request();
    w.answer(&request, OK);
    w.announcer.stop(w.now);
    w.request();
    assert_eq!(w.wait(), Duration::from_secs(10));
    assert_eq!(w.poll(), None);
    assert!(w.announcer.is_stopped());
}

#[test]
fn nothing_was_begun_so_nothing_is_stopped() {
    let mut announcer = Announcer::new(&[], context(), fastrand::Rng::with_seed(1));
    let now = Instant::now();
    assert!(announcer.is_stopped());
    announcer.start(now);
    assert_eq!(
        (announcer.poll(now, AnnounceStats::default(), |_| Turn::Wait), announcer.deadline()),
        (None, None)
    );
    announcer.want_peers(now);
    announcer.completed(now);
    announcer.stop(now);
    assert!(announcer.is_stopped());
}

#[test]
fn unsupported_schemes_are_left_out() {
    let mut w = World::new(&[&["udp://a:1", "file:///etc/passwd"], &["wss://x/"], &["http://b/announce"]]);
    assert_eq!(w.request().tracker, "http://b/announce");
    assert_eq!(w.announcer.status().count(), 1);
}

#[test]
fn tracker_id_is_sent_back_to_that_tracker() {
    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"]]);
    let request = w.request();
    w.answer(&request, "d8:intervali60e10:tracker id3:a&be");
    w.wait();
    let request = w.request();
    assert!(request.url.ends_with("&trackerid=a%26b"), "{}", request.url);
    w.answer(&request, OK);
    w.wait();
    let request = w.request();
    assert!(request.url.ends_with("&trackerid=a%26b"), "kept when the tracker does not repeat it");
    w.fail(&request);
    assert!(!w.request().url.contains("trackerid"));
}

#[test]
fn passkeys_are_not_in_what_is_shown() {
    let key = "0123456789abcdef0123456789abcdef";
    let url = format!("http://t/{key}/announce?pk={key}");
    let mut w = World::new(&[&[&url]]);
    let request = w.request();
    assert!(request.url.contains(key) && !request.tracker.contains(key));
    let outcome = w.announcer.response(w.now, request.id, Err(format!("cannot fetch {}", request.url)));
    let shown = format!("{outcome:?} {:?}", w.announcer.status().collect::<Vec<_>>());
    assert!(!shown.contains(key), "{shown}");
    w.wait();
    let request = w.request();
    let outcome = w.answer(&request, &format!("d14:failure reason40:bad key {key}e"));
    assert!(
        matches!(&outcome, AnnounceOutcome::Failed { reason, .. } if reason == "bad key …"),
        "{outcome:?}"
    );
}

#[test]
fn shuffle_differs_with_the_seed() {
    let tiers = [vec!["http://a/announce".to_owned(), "http://b/announce".to_owned()]];
    let first = |seed| {
        let announcer = Announcer::new(&tiers, context(), fastrand::Rng::with_seed(seed));
        announcer.status().next().unwrap().tracker
    };
    let firsts: std::collections::HashSet<_> = (0..20).map(first).collect();
    assert_eq!(firsts.len(), 2);
}

#[test]
fn a_tracker_that_is_put_off_is_said_once_skipped_and_tried_again_without_a_failure() {
    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"]]);
    let until = w.now + Duration::from_secs(40);
    let turn = |turns: &mut Turns<()>, now, tracker: &str| match tracker {
        "http://a/announce" if now < until => Turn::PutOff(until),
        _ => turns.turn(now, tracker, (), false),
    };
    let mut turns = Turns::new(16);
    let mut poll =
        |w: &mut World| w.announcer.poll(w.now, AnnounceStats::default(), |t| turn(&mut turns, w.now, t));
    let said = poll(&mut w);
    assert!(
        matches!(&said, Some(Step::PutOff { tracker, .. }) if tracker == "http://a/announce"),
        "{said:?}"
    );
    let Some(Step::Ask(request)) = poll(&mut w) else { panic!("no request to the other one") };
    assert_eq!(request.tracker, "http://b/announce");
    w.fail(&request);
    // Nothing more is to be said while both are left alone.
    assert_eq!(poll(&mut w), None);
    let status: Vec<_> = w.announcer.status().map(|t| (t.failures, t.message.unwrap())).collect();
    assert_eq!(status[0], (0, "did not answer another request a moment ago".to_owned()));
    w.now = until + Duration::from_secs(10);
    let Some(Step::Ask(request)) = poll(&mut w) else { panic!("no request to the first one") };
    assert_eq!(request.tracker, "http://a/announce");
}

#[test]
fn goodbyes_to_trackers_that_rest_are_left_out_and_those_that_wait_hold_up_no_other() {
    let mut w = World::new(&[&["http://a/announce"]]);
    let request = w.request();
    w.answer(&request, OK);
    w.announcer.stop(w.now);
    let waits = w.announcer.poll(w.now, AnnounceStats::default(), |_| Turn::Wait);
    assert!(waits.is_none() && w.announcer.is_leaving() && !w.announcer.is_stopped());
    let until = w.now + Duration::from_secs(10);
    assert_eq!(w.announcer.poll(w.now, AnnounceStats::default(), |_| Turn::PutOff(until)), None);
    assert!(w.announcer.is_stopped());

    let mut w = World::new(&[&["http://a/announce"], &["http://b/announce"]]);
    let first = w.request();
    w.answer(&first, OK);
    w.announcer.completed(w.now);
    let second = w.request();
    assert_eq!(second.tracker, "http://a/announce");
    w.fail(&second);
    let other = w.request();
    w.answer(&other, OK);
    w.announcer.stop(w.now);
    let mut turns = Turns::new(16);
    let step = w.announcer.poll(w.now, AnnounceStats::default(), |t| match t {
        "http://b/announce" => Turn::Wait,
        _ => turns.turn(w.now, t, (), true),
    });
    assert!(matches!(step, Some(Step::Ask(r)) if r.tracker == "http://a/announce"));
    assert!(w.announcer.is_leaving());
    assert_eq!(w.request().tracker, "http://b/announce");
}
