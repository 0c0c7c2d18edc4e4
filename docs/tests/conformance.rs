//! The table of conformance (`src/conformance.md`) against the tests: what it names exists and says so itself, what
//! the tests name is in it, and no number of a family is missing without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/conformance.md");
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Folders whose sources are read, and the book, where ids are mentioned too.
const SOURCES: [&str; 4] = ["axon", "examples", "kamaelia-torrent", "docs/src"];

/// Ids whose parts of the port are not finished; none of them is in the table.
const PENDING: &str = "CH-SRV-01 to 06, U-60 to 65, D-30, PR-16 to 18";

/// Where the second part of the page begins.
const ORIGINALS: &str = "The original's own tests";

/// A table under a heading.
struct Section {
    heading: String,
    rows: Vec<Row>,
    /// Ids that a paragraph says do not exist.
    unused: Vec<String>,
}

/// A row: its name, what it is (in the first part only), and its tests or why there are none.
struct Row {
    line: usize,
    name: String,
    what: Option<String>,
    tests: Vec<TestName>,
    text: String,
}

/// File and function, or `examples/check.sh` and the name of a check.
type TestName = (String, String);

struct Page {
    behaviours: Vec<Section>,
    originals: Vec<Section>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let mut page = Page { behaviours: Vec::new(), originals: Vec::new() };
        let mut second = false;
        for (at, line) in text.lines().enumerate() {
            let sections = if second { &mut page.originals } else { &mut page.behaviours };
            if let Some(heading) = line.strip_prefix("## ") {
                second = heading == ORIGINALS;
            } else if let Some(heading) = line.strip_prefix("### ") {
                sections.push(Section { heading: heading.into(), rows: Vec::new(), unused: Vec::new() });
            } else if let Some(section) = sections.last_mut() {
                if line.starts_with("Not used: ") {
                    section.unused.extend(ids(line));
                } else if let Some(row) = Row::parse(at + 1, line) {
                    section.rows.push(row);
                }
            }
        }
        page
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.behaviours.iter().chain(&self.originals).flat_map(|s| &s.rows)
    }
}

impl Row {
    fn parse(line: usize, text: &str) -> Option<Self> {
        let cells: Vec<_> =
            text.strip_prefix('|')?.strip_suffix('|')?.split('|').map(|c| c.trim().to_string()).collect();
        let (name, what, tests) = match &cells[..] {
            [name, tests] => (name, None, tests),
            [name, what, tests] => (name, Some(what.clone()), tests),
            _ => return None,
        };
        if name.starts_with("---") || tests == "tests" {
            return None;
        }
        let mut named: Vec<TestName> = Vec::new();
        for (file, test) in tests.split('`').skip(1).step_by(2).filter_map(|q| q.split_once("::")) {
            // Without a file it is the same as before.
            let before = named.last().map_or(String::new(), |(file, _)| file.clone());
            named.push((if file.is_empty() { before } else { file.into() }, test.into()));
        }
        Some(Row { line, name: name.clone(), what, tests: named, text: tests.clone() })
    }

    /// `- ` and at least three words.
    fn has_reason(&self) -> bool {
        self.text.strip_prefix("- ").is_some_and(|reason| reason.split_whitespace().count() >= 3)
    }
}

/// What the repository says.
#[derive(Default)]
struct Repository {
    /// Each test with the ids that its name and the comment above it name.
    tests: BTreeMap<TestName, BTreeSet<String>>,
    /// Each id in a comment or the book, with a place where it is.
    mentions: BTreeMap<String, String>,
}

impl Repository {
    fn read(root: &Path) -> Self {
        let mut repository = Self::default();
        for folder in SOURCES {
            for path in files(&root.join(folder)) {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                let read = || fs::read_to_string(&path).unwrap();
                match path.extension().and_then(|e| e.to_str()) {
                    Some("rs") => repository.read_source(&name, &read()),
                    Some("md") if !path.ends_with("conformance.md") => repository.mentioned(&name, &read()),
                    _ => {}
                }
            }
        }
        let checks = "examples/check.sh";
        let script = fs::read_to_string(root.join(checks)).unwrap();
        for (name, program) in script.lines().flat_map(checked) {
            // Such a check says no more than its name; what is checked says the program.
            let source = fs::read_to_string(root.join(format!("examples/src/bin/{program}.rs")));
            let named =
                source.unwrap_or_default().lines().filter(|l| l.starts_with("//")).flat_map(ids).collect();
            repository.tests.insert((checks.into(), name.into()), named);
        }
        repository
    }

    fn mentioned(&mut self, place: &str, text: &str) {
        for id in ids(text) {
            self.mentions.entry(id).or_insert_with(|| place.to_string());
        }
    }

    fn read_source(&mut self, file: &str, text: &str) {
        let (mut comment, mut is_test) = (String::new(), false);
        for line in text.lines().map(str::trim_start) {
            if let Some(said) = line.strip_prefix("//") {
                comment.push_str(said);
                comment.push('\n');
                self.mentioned(file, said);
            } else if line.starts_with("#[") {
                is_test |= line == "#[test]";
            } else {
                let name =
                    line.strip_prefix("fn ").and_then(|rest| rest.split_once('(')).map(|(name, _)| name);
                if let (Some(name), true) = (name, is_test) {
                    let mut named: BTreeSet<_> = ids_of_name(name).into_iter().collect();
                    named.iter().for_each(|id| self.mentioned(file, id));
                    named.extend(ids(&comment));
                    self.tests.insert((file.into(), name.into()), named);
                }
                comment.clear();
                is_test = false;
            }
        }
    }
}

/// The names of the checks of a line of `examples/check.sh`, and the programs that they run.
fn checked(line: &str) -> Vec<(&str, &str)> {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("check" | "check_unordered") => words.next().zip(words.next()).into_iter().collect(),
        Some("for") if line.starts_with("for name in ") => words
            .skip(2)
            .map_while(|w| if w == "do" { None } else { Some(w.trim_end_matches(';')) })
            .map(|n| (n, n))
            .collect(),
        Some("echo") => {
            let name = words.next().and_then(|w| w.strip_prefix('"'));
            let name = name.filter(|n| !n.starts_with('$') && words.next() == Some("ok\""));
            name.map(|n| (n, n)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            found.push(path);
        } else if !path.ends_with("target") {
            found.extend(files(&path));
        }
    }
    found
}

/// Letters before the number of an id, and the number of parts of these.
fn family(text: &str) -> Option<&str> {
    let letters = |t: &str| t.bytes().take_while(u8::is_ascii_uppercase).count();
    let head = letters(text);
    match &text[..head] {
        "T" => Some("T"),
        "D" | "PR" | "U" if text[head..].starts_with('-') => Some(&text[..=head]),
        "AX" | "CH" | "K" | "TO" if text[head..].starts_with('-') => {
            let tail = letters(&text[head + 1..]);
            let end = head + 1 + tail;
            (tail > 0 && text[end..].starts_with('-')).then(|| &text[..=end])
        }
        _ => None,
    }
}

/// The two digits at the start, unless more follows.
fn number(text: &str) -> Option<u32> {
    let digits = text.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let ends = !text[2..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    ends.then(|| digits.parse().expect("two digits are a number"))
}

/// The ids in a text. `AX-MP-01, 03`, `AX-MP-01 and 03`, `AX-MP-01..03` and `AX-MP-01 to 03` (or `to AX-MP-03`) are
/// two, two, three and three.
fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let step = rest.chars().next().map_or(1, char::len_utf8);
        let in_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_');
        let start = family(rest).filter(|_| !in_word);
        let Some((family, mut n)) = start.and_then(|f| Some((f, number(&rest[f.len()..])?))) else {
            at += step;
            continue;
        };
        at += family.len() + 2;
        found.push(format!("{family}{n:02}"));
        loop {
            let rest = &text[at..];
            let joint = ["..", " to ", ", and ", " and ", ", "].iter().find(|j| rest.starts_with(**j));
            let Some(joint) = joint else { break };
            let after = &rest[joint.len()..];
            let is_range = ["..", " to "].contains(joint);
            let repeated = if is_range && after.starts_with(family) { family.len() } else { 0 };
            let Some(next) = number(&after[repeated..]) else { break };
            let from = if is_range { n + 1 } else { next };
            found.extend((from..=next).map(|n| format!("{family}{n:02}")));
            n = next;
            at += joint.len() + repeated + 2;
        }
    }
    found
}

/// The ids at the start of a test's name: `u14_u16_sources…`, `to_mk_03_…`, `d_38_…`, `t06_…`, `to_srv_02_03_…`.
fn ids_of_name(name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let words: Vec<String> = name.split('_').map(str::to_ascii_uppercase).collect();
    let mut rest = &words[..];
    while let Some((word, after)) = rest.split_first() {
        let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
        let (head, digits) = word.split_at(letters);
        let glued = if head == "T" { word.clone() } else { format!("{head}-{digits}") };
        let last = found.last().and_then(|id| family(id)).unwrap_or_default();
        // How the words may be meant, and how many of them are.
        let candidates = [
            (glued, 1),
            (words_joined(rest, 2), 2),
            (words_joined(rest, 3), 3),
            (format!("{last}{word}"), 1),
            (format!("{last}{}", after.first().filter(|_| word == "AND").map_or("", |w| w)), 2),
        ];
        let fits = |(id, _): &(String, usize)| ids(id) == [id.clone()];
        let Some((id, used)) = candidates.into_iter().find(fits) else { break };
        found.push(id);
        rest = &rest[used..];
    }
    found
}

fn words_joined(words: &[String], count: usize) -> String {
    words.get(..count).unwrap_or_default().join("-")
}

/// Everything that is wrong with the page.
fn problems(page: &Page, repository: &Repository, pending: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut listed = BTreeMap::new();
    let pending = ids(pending);
    for section in &page.behaviours {
        let expected: BTreeSet<_> = ids(&section.heading).into_iter().collect();
        if expected.is_empty() {
            wrong.push(format!("the heading {:?} says no range of ids", section.heading));
        }
        for row in &section.rows {
            let Row { line, name, .. } = row;
            if let Some(before) = listed.insert(name.clone(), *line) {
                wrong.push(format!("line {line}: {name} is in line {before} already"));
            }
            if !expected.contains(name) {
                wrong.push(format!("line {line}: {name} is not in the range of its heading"));
            }
            let words = row.what.as_deref().unwrap_or_default().split_whitespace().count();
            if !(4..=15).contains(&words) {
                wrong.push(format!("line {line}: {name} is described in {words} words, not 4 to 15"));
            }
            for test in &row.tests {
                if repository.tests.get(test).is_some_and(|named| !named.contains(name)) {
                    wrong.push(format!("line {line}: {}::{} does not name {name}", test.0, test.1));
                }
            }
        }
        for id in &expected {
            let has_row = section.rows.iter().any(|r| r.name == *id);
            if has_row == (section.unused.contains(id) || pending.contains(id)) {
                let problem = if has_row { "has a row although it is not to have one" } else { "is missing" };
                wrong.push(format!("under {:?}: {id} {problem}", section.heading));
            }
        }
    }
    for section in &page.originals {
        let names: BTreeSet<_> = section.rows.iter().map(|r| &r.name).collect();
        let count = format!("({})", section.rows.len());
        if !section.heading.ends_with(&count) || names.len() != section.rows.len() {
            wrong.push(format!(
                "{:?} has {} rows, {} names",
                section.heading,
                section.rows.len(),
                names.len()
            ));
        }
    }
    for row in page.rows() {
        for test in row.tests.iter().filter(|t| !repository.tests.contains_key(*t)) {
            wrong.push(format!("line {}: there is no test {}::{}", row.line, test.0, test.1));
        }
        if row.tests.is_empty() && !row.has_reason() {
            wrong.push(format!("line {}: {} has neither a test nor a reason", row.line, row.name));
        }
    }
    for (id, place) in &repository.mentions {
        if !listed.contains_key(id) && !pending.contains(id) {
            wrong.push(format!("{place} names {id}, which is not in the table"));
        }
    }
    wrong
}

/// Rows that have a reason in place of a test.
fn untested(page: &Page) -> String {
    let rows = page.rows().filter(|r| r.tests.is_empty());
    rows.map(|r| format!("  {}: {}\n", r.name, r.text)).collect()
}

#[test]
fn the_table_is_true() {
    let page = Page::parse(&fs::read_to_string(PAGE).unwrap());
    let wrong = problems(&page, &Repository::read(Path::new(REPOSITORY)), PENDING);
    assert!(wrong.is_empty(), "{}\n\nwithout a test:\n{}", wrong.join("\n"), untested(&page));
}

#[test]
fn checks_are_found() {
    assert_eq!(
        checked("check crasher_mortal    crasher           1 '' 2 --mortal"),
        [("crasher_mortal", "crasher")]
    );
    assert_eq!(checked("for name in a b_c; do"), [("a", "a"), ("b_c", "b_c")]);
    assert_eq!(checked("echo \"forwarding ok\""), [("forwarding", "forwarding")]);
    assert!(checked("    echo \"$name ok\"").is_empty() && checked("checked").is_empty());
}

#[test]
fn ids_are_found_in_comments_and_names() {
    assert_eq!(
        ids("AX-MP-01..03: as D-31, 32 and 35, and 40 do"),
        ["AX-MP-01", "AX-MP-02", "AX-MP-03", "D-31", "D-32", "D-35", "D-40"]
    );
    assert_eq!(ids("(U-04 to U-06; T12)"), ["U-04", "U-05", "U-06", "T12"]);
    assert!(ids("RFC-01 AX-01 XU-04 U-040 T2 T123 BOAX-MP-01 D-1").is_empty());
    assert_eq!(ids("D-20 to D-22, 100 of them, §5"), ["D-20", "D-21", "D-22"]);
    assert_eq!(ids_of_name("u14_u16_sources_keep_32_bits"), ["U-14", "U-16"]);
    assert_eq!(ids_of_name("to_mk_03_d_38_x"), ["TO-MK-03", "D-38"]);
    assert_eq!(ids_of_name("to_srv_02_03_x"), ["TO-SRV-02", "TO-SRV-03"]);
    assert_eq!(ids_of_name("ax_dbg_02_and_03_x"), ["AX-DBG-02", "AX-DBG-03"]);
    assert_eq!(ids_of_name("t06_and_more"), ["T06"]);
    assert!(ids_of_name("test___str__strict").is_empty() && ids_of_name("d_minor").is_empty());
}

/// Each kind of mistake, and that there is no other.
#[test]
fn mistakes_are_found() {
    let page = "\
### Processes: AX-MP-01 to 07

| id | what | tests |
|---|---|---|
| AX-MP-01 | four words describe it | `a/t.rs::one`, `a/t.rs::gone` |
| AX-MP-02 | four words describe it | - because |
| AX-MP-02 | few | `a/t.rs::one` |
| AX-MP-03 | four words describe it | - the compiler does it |
| AX-MP-09 | four words describe it | - the compiler does it |
| AX-MP-06 | four words describe it | - the compiler does it |

Not used: AX-MP-04, 06: they never were.

## The original's own tests

### test_X.py (1)

| test | tests |
|---|---|
| test_a | `a/t.rs::one` |
| test_b | `b/t.rs::one` |
";
    let mut repository = Repository::default();
    repository.read_source(
        "a/t.rs",
        "/// AX-MP-01.\n#[test]\n#[ignore]\nfn one() {\n    // D-77\n}\n\nfn gone() {}\n#[test]\nfn t88_x() {}\n",
    );
    let wrong = problems(&Page::parse(page), &repository, "AX-MP-05");
    assert_eq!(
        wrong,
        [
            "line 7: AX-MP-02 is in line 6 already",
            "line 7: AX-MP-02 is described in 1 words, not 4 to 15",
            "line 7: a/t.rs::one does not name AX-MP-02",
            "line 9: AX-MP-09 is not in the range of its heading",
            "under \"Processes: AX-MP-01 to 07\": AX-MP-06 has a row although it is not to have one",
            "under \"Processes: AX-MP-01 to 07\": AX-MP-07 is missing",
            "\"test_X.py (1)\" has 2 rows, 2 names",
            "line 5: there is no test a/t.rs::gone",
            "line 6: AX-MP-02 has neither a test nor a reason",
            "line 21: there is no test b/t.rs::one",
            "a/t.rs names D-77, which is not in the table",
            "a/t.rs names T88, which is not in the table",
        ]
    );
}
