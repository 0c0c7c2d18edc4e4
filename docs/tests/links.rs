//! Links between the chapters, mentions of files of the repository (in the README too), and that no chapter escapes
//! the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

const BOOK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../");

/// Kinds of code that a chapter may have. Rust that is neither run nor compiled is not among them.
const FENCES: [&str; 7] = ["rust", "rust,no_run", "toml", "text", "console", "python", "sh"];

/// Folders whose files are mentioned in backticks.
const FOLDERS: [&str; 4] = ["axon/", "kamaelia-torrent/", "examples/", "docs/"];

/// A chapter without its code blocks, and what the blocks say they are.
struct Chapter {
    prose: String,
    fences: Vec<String>,
}

impl Chapter {
    fn read(text: &str) -> Self {
        let (mut prose, mut fences, mut inside) = (String::new(), Vec::new(), false);
        for line in text.lines() {
            match line.trim_start().strip_prefix("```") {
                Some(info) => {
                    if !inside {
                        fences.push(info.trim().to_string());
                    }
                    inside = !inside;
                }
                None if !inside => {
                    prose.push_str(line);
                    prose.push('\n');
                }
                None => {}
            }
        }
        Self { prose, fences }
    }

    /// Targets of links that lead to files, with their anchors.
    fn links(&self) -> impl Iterator<Item = &str> {
        let targets = self.prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target).filter(|t| !t.contains("://"))
    }

    /// The names under which mdBook makes the headings reachable.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose.lines().filter_map(|l| l.strip_prefix('#'));
        headings.map(|h| anchor(h.trim_start_matches('#').trim())).collect()
    }

    /// Paths in backticks that look like files of the repository; a function in such a file is not looked for here.
    fn mentions(&self) -> impl Iterator<Item = &str> {
        let quoted = self.prose.split('`').skip(1).step_by(2).map(|q| q.split("::").next().unwrap_or(q));
        quoted.filter(|q| FOLDERS.iter().any(|f| q.starts_with(f)) && !q.contains(char::is_whitespace))
    }
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_ascii_lowercase()),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// Resolves `..` by text, so that a path can be looked up in the table of chapters.
fn join(folder: &Path, target: &str) -> PathBuf {
    let mut path = folder.to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

fn problems(chapters: &BTreeMap<PathBuf, Chapter>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, chapter) in chapters {
        let folder = path.parent().unwrap_or(Path::new(""));
        for link in chapter.links() {
            let (target, wanted) = link.split_once('#').unwrap_or((link, ""));
            let to = if target.is_empty() { path.clone() } else { join(folder, target) };
            match chapters.get(&to) {
                Some(other) if wanted.is_empty() || other.anchors().contains(wanted) => {}
                None if wanted.is_empty() && exists(&to) => {}
                _ => found.push(format!("{}: link to {link}", path.display())),
            }
        }
        for mention in chapter.mentions() {
            if !exists(&Path::new(REPOSITORY).join(mention)) {
                found.push(format!("{}: there is no {mention}", path.display()));
            }
        }
        for fence in &chapter.fences {
            if !FENCES.contains(&&**fence) {
                found.push(format!("{}: code marked {fence:?}", path.display()));
            }
        }
    }
    found
}

fn book() -> BTreeMap<PathBuf, Chapter> {
    let mut chapters = BTreeMap::new();
    let mut folders = vec![PathBuf::from(BOOK)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                let chapter = Chapter::read(&fs::read_to_string(&path).unwrap());
                chapters.insert(path, chapter);
            }
        }
    }
    chapters
}

#[test]
fn links_and_mentioned_files_exist() {
    let mut all = book();
    let readme = join(Path::new(REPOSITORY), "README.md");
    all.insert(readme.clone(), Chapter::read(&fs::read_to_string(readme).unwrap()));
    let found = problems(&all, Path::exists);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_chapter_is_in_the_summary_and_in_the_tests() {
    let chapters = book();
    let summary = &chapters[&Path::new(BOOK).join("SUMMARY.md")];
    let listed: BTreeSet<PathBuf> = summary.links().map(|l| join(Path::new(BOOK), l)).collect();
    let tested = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/check/lib.rs")).unwrap();
    for path in chapters.keys().filter(|p| !p.ends_with("SUMMARY.md")) {
        assert!(listed.contains(path), "{} is not in the summary", path.display());
        let name = path.strip_prefix(BOOK).unwrap().to_str().unwrap().replace('\\', "/");
        assert!(tested.contains(&format!("{name:?}")), "the code of {name} is not tested");
    }
}

#[test]
fn mistakes_are_found() {
    let text = "# A `b::c` d\n[ok](b.md#x-y) [ok](#a-bc-d)\n[no](c.md) [no](b.md#z) `axon/no.rs::f` [web](https://x)\n\
                ```rust,ignore\n[not a link](d.md)\n```\n";
    let chapters = BTreeMap::from([
        (PathBuf::from("/s/a.md"), Chapter::read(text)),
        (PathBuf::from("/s/b.md"), Chapter::read("## X y\n")),
    ]);
    let found = problems(&chapters, |_| false);
    assert_eq!(
        found,
        [
            "/s/a.md: link to c.md",
            "/s/a.md: link to b.md#z",
            "/s/a.md: there is no axon/no.rs",
            "/s/a.md: code marked \"rust,ignore\"",
        ]
    );
}
