//! `--files`: which files of a torrent, and how soon.

use kamaelia_torrent::proto::metainfo::{Metainfo, display_path};
use kamaelia_torrent::proto::selection::Priority;

/// A list like `0,3-5,*.srt=7`: numbers, ranges and patterns, each perhaps with a priority. What it does not name is
/// not wanted; if items overlap, the later one counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileList(Vec<Item>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    text: String,
    which: Which,
    priority: Priority,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Numbers(usize, usize),
    Pattern(Vec<char>),
}

impl FileList {
    /// What is written on the command line.
    pub(crate) fn parse(text: &str) -> Result<FileList, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(Item::parse)
            .collect::<Result<_, _>>()
            .and_then(
                |items: Vec<Item>| {
                    if items.is_empty() { Err("no file is named".into()) } else { Ok(FileList(items)) }
                },
            )
    }

    /// The priority of each file of a torrent by these lists, one after the other.
    pub(crate) fn apply(lists: &[FileList], metainfo: &Metainfo) -> Result<Vec<Priority>, String> {
        let files = metainfo.files();
        let mut priorities = vec![Priority::SKIP; files.len()];
        for item in lists.iter().flat_map(|list| &list.0) {
            let mut found = false;
            match &item.which {
                Which::Numbers(first, last) => {
                    if *last >= files.len() {
                        let last = files.len() - 1;
                        return Err(format!(
                            "there is no file {:?}: they are numbered 0 to {last}",
                            item.text
                        ));
                    }
                    priorities[*first..=*last].fill(item.priority);
                    found = true;
                }
                Which::Pattern(pattern) => {
                    for (file, priority) in files.iter().zip(&mut priorities).filter(|(file, _)| !file.pad) {
                        if fits(pattern, &display_path(&file.path)) {
                            (*priority, found) = (item.priority, true);
                        }
                    }
                }
            }
            if !found {
                return Err(format!("no file is called {:?}", item.text));
            }
        }
        Ok(priorities)
    }
}

impl Item {
    fn parse(text: &str) -> Result<Item, String> {
        let (name, priority) = match text.rsplit_once('=') {
            Some((name, level)) => {
                let level = level.trim().parse().ok().and_then(Priority::new);
                let priority =
                    level.ok_or_else(|| format!("{text:?}: a priority is 0 (not) to 7 (first)"))?;
                (name.trim(), priority)
            }
            None => (text, Priority::NORMAL),
        };
        let which = if name.is_empty() {
            return Err(format!("{text:?} names no file"));
        } else if name.chars().all(|c| c.is_ascii_digit() || c == '-') {
            let (first, last) = name.split_once('-').unwrap_or((name, name));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first <= last => Which::Numbers(first, last),
                _ => return Err(format!("{text:?} is neither a number nor a range of numbers")),
            }
        } else {
            Which::Pattern(name.chars().collect())
        };
        Ok(Item { text: text.to_owned(), which, priority })
    }
}

/// Whether a pattern describes a path: all of it if the pattern has a `/`, else its last part. `*` stands for any
/// characters, `?` for one.
fn fits(pattern: &[char], path: &str) -> bool {
    let last = path.rsplit('/').next().unwrap_or(path);
    let text: Vec<char> = if pattern.contains(&'/') { path } else { last }.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: one character further.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                again = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut again {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent() -> Metainfo {
        let paths = ["a.mkv", "a.srt", "more=2", "z.nfo"];
        let files: String =
            paths.iter().map(|p| format!("d6:lengthi5e4:pathl3:sub{}:{p}ee", p.len())).collect();
        let text = format!(
            "d4:infod5:filesl{files}d4:attr1:p6:lengthi12e4:pathl1:peee4:name1:t12:piece lengthi32e6:pieces20:{}ee",
            "x".repeat(20)
        );
        Metainfo::parse(text.as_bytes()).unwrap()
    }

    fn levels(lists: &[&str]) -> Result<Vec<u8>, String> {
        let lists: Vec<FileList> = lists.iter().map(|l| FileList::parse(l)).collect::<Result<_, _>>()?;
        Ok(FileList::apply(&lists, &torrent())?.into_iter().map(Priority::level).collect())
    }

    #[test]
    fn numbers_ranges_and_patterns_with_priorities() {
        assert_eq!(levels(&["0"]), Ok(vec![4, 0, 0, 0, 0]));
        assert_eq!(levels(&["1-3"]), Ok(vec![0, 4, 4, 4, 0]));
        assert_eq!(levels(&["*.srt=7, 0"]), Ok(vec![4, 7, 0, 0, 0]));
        assert_eq!(levels(&["*", "z.*=0"]), Ok(vec![4, 4, 4, 0, 0]));
        assert_eq!(levels(&["t/sub/a.*=1,?.nfo"]), Ok(vec![1, 1, 0, 4, 0]));
        assert_eq!(levels(&["more=2=3"]), Ok(vec![0, 0, 3, 0, 0]));
        assert_eq!(levels(&["0-3,1-2=0"]), Ok(vec![4, 0, 0, 4, 0]));
    }

    #[test]
    fn what_names_no_file_is_an_error_that_shows_it() {
        for (list, part) in [
            ("", "no file is named"),
            ("4-9", "numbered 0 to 4"),
            ("99999999999999999999999", "neither a number"),
            ("3-1", "neither a number"),
            ("-1", "neither a number"),
            ("1-", "neither a number"),
            ("*.avi", "no file is called \"*.avi\""),
            ("0=8", "0 (not) to 7 (first)"),
            ("0=-1", "0 (not) to 7 (first)"),
            ("=3", "names no file"),
        ] {
            let error = levels(&[list]).unwrap_err();
            assert!(error.contains(part), "{list:?}: {error}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        let pattern: Vec<char> = "*a".repeat(100).chars().collect();
        assert!(!fits(&pattern, &"a".repeat(99)));
        assert!(fits(&pattern, &"a".repeat(250)));
        assert!(!fits(&pattern, &("a".repeat(250) + "b")));
    }
}
