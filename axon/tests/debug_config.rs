//! Debugging output (AX-DBG-01 to 04, D-40). In a program of its own, since configuration and logger are the program's.

use std::fs;
use std::sync::Mutex;

use axon::debug::{Debug, DebugConfig, DebugError, KNOWN_SECTIONS};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;
impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push(format!("{} {} {}", record.level(), record.target(), record.args()));
    }
    fn flush(&self) {}
}

/// One test: what is shared by the whole program has an order.
#[test]
fn ax_dbg_02_and_03_notes_and_the_shared_configuration() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    // AX-DBG-02: only known sections at a level that is high enough; before any configuration nothing is an error.
    let mut d = Debug::new();
    d.add_debug_section("a.main", 5);
    assert!(d.note("a.main", 5, "at the level").unwrap());
    assert!(d.note("a.main", 0, format_args!("{} and {}", 1, "two")).unwrap());
    assert!(!d.note("a.main", 6, "too detailed").unwrap());
    assert!(!d.note("b.main", 0, "unknown").unwrap());
    d.debug_message("c", "in any case");
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    assert_eq!(
        lines,
        ["DEBUG a.main a.main | at the level", "DEBUG a.main a.main | 1 and two", "DEBUG c c | in any case"]
    );

    // D-40: a file that is not right is an error that says where, and does not become the configuration.
    let folder = std::env::temp_dir().join(format!("axon-debug-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("debug.conf");
    fs::write(&file, "a.main 5 default\na.send ten default\n").unwrap();
    let e = Debug::new().use_config(&file).unwrap_err().to_string();
    assert!(e.contains("debug.conf: line 2") && e.contains("\"ten\""), "{e}");
    fs::write(&file, b"a \xff b").unwrap();
    assert!(Debug::new().use_config(&file).unwrap_err().to_string().ends_with("not UTF-8 text"));

    // AX-DBG-03: the first caller loads it for all; a later caller's file is not looked at.
    fs::write(&file, "# mine\na.main  5  default\n").unwrap();
    let mut first = Debug::new();
    first.add_debug_section("own", 1);
    first.use_config(&file).unwrap();
    let mut second = Debug::new();
    second.use_config("there is no such file").unwrap();
    for d in [&first, &second] {
        assert!(d.are_debugging("a.main", 5) && !d.are_debugging("a.main", 6));
    }
    assert!(first.are_debugging("own", 1) && !second.are_debugging("own", 0));
    let e = second.note("a.mian", 1, "misspelt").unwrap_err();
    assert!(matches!(&e, DebugError::UnknownSection { section, .. } if section == "a.mian"));
    assert_eq!(e.to_string(), "no debug section \"a.mian\" in the configuration, message: misspelt");
    assert!(!second.clone().lenient().note("a.mian", 1, "misspelt").unwrap());
    second.add_debug_section("a.main", 9);
    assert!(!first.are_debugging("a.main", 9), "settings are per object");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn ax_dbg_01_sections_and_levels() {
    let mut d = Debug::new();
    d.add_debug([("a", 5), ("b", 1)]);
    d.add_debug([("b", 2)]);
    assert!(d.are_debugging("a", 5) && d.are_debugging("b", 2) && !d.are_debugging("b", 3));
    d.increase_debug("a");
    d.increase_debug("new");
    assert!(d.are_debugging("a", 10) && d.are_debugging("new", 5) && !d.are_debugging("new", 6));
    d.decrease_debug("new");
    d.decrease_debug("b");
    d.decrease_debug("unheard of");
    assert!(d.are_debugging("new", 0) && d.are_debugging("b", 0) && !d.are_debugging("b", 1));
    assert!(!d.are_debugging("unheard of", 0));
    d.add_debug_section("high", u32::MAX);
    d.increase_debug("high");
    assert!(d.are_debugging("high", u32::MAX));
    d.set_debug_sections([("c", 1)]);
    assert!(d.are_debugging("c", 1) && !d.are_debugging("a", 0));
}

#[test]
fn ax_dbg_03_the_built_in_configuration_has_every_known_section_at_level_0() {
    let config = DebugConfig::known_sections();
    assert_eq!(config.sections().count(), KNOWN_SECTIONS.len());
    assert!(config.sections().all(|(_, s)| s.level == 0 && s.location == "default"));
    assert!(config.section("component.send").is_some());
}

#[test]
fn ax_dbg_04_d40_the_file_format() {
    let text = "# comment\n\n   \na.main 5 default\n  b.main\t10   elsewhere  \r\n#b.main 7 x\n";
    let config: DebugConfig = text.parse().unwrap();
    let all: Vec<_> = config.sections().map(|(n, s)| (n, s.level, &*s.location)).collect();
    assert_eq!(all, [("a.main", 5, "default"), ("b.main", 10, "elsewhere")]);
    for (bad, told) in [
        ("a 5", "line 1: expected \"section level location\", found \"a 5\""),
        ("#\na 5 default x", "line 2: expected \"section level location\", found \"a 5 default x\""),
        ("a -1 default", "line 1: level \"-1\" is not a whole number from 0 to 4294967295"),
    ] {
        assert_eq!(bad.parse::<DebugConfig>().unwrap_err().to_string(), told);
    }
}
