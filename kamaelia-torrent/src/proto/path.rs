//! Names of files as a torrent gives them, made safe to use as single components of a path.
//!
//! | in a name | what happens |
//! |---|---|
//! | empty, `.`, `..`, only dots and spaces | error |
//! | NUL, `/`, `\` (a separator somewhere) | error |
//! | a drive letter (`C:`) | error |
//! | control characters, bidirectional overrides and marks | each becomes `_` |
//! | bytes that are not UTF-8 | become `_` |
//! | more than 240 bytes | shortened; extension kept, a hash tells shortened names apart |
//! | reserved on Windows (`CON`, `aux.c`), trailing dot or space, `<>:"\|?*` | changed on Windows only |
//! | `.<40 hex digits>.` and `resume` or `parts`, our own records | `_` before it |
//! | the same path twice, a file where another needs a folder | error |
//! | paths that differ in upper and lower case or Unicode form (NFC, NFD) only | where the file system takes them for one, all but the first get a mark |
//!
//! What Unix allows stays as it is on Unix, so that a torrent made of a source tree with an `aux.c` can be seeded
//! from that tree. Elsewhere the rules of Windows and macOS are added by [`Rules`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use sha1::{Digest, Sha1};
use unicode_normalization::UnicodeNormalization;

/// What the platform that will store the files cannot bear, beyond what is never allowed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Device names, trailing dots and spaces and some characters are special.
    pub windows_names: bool,
    /// Names that differ in case only are one file.
    pub ignore_case: bool,
}

/// Why a name or path is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Nothing, or a list of nothing.
    #[error("empty file name")]
    Empty,
    /// `.`, `..`, or a name that some systems take for one of them.
    #[error("file name {0:?} leads to another folder")]
    Dots(String),
    /// A separator of some system: the name is really a path, maybe an absolute one.
    #[error("file name {0:?} contains a path separator")]
    Separator(String),
    /// NUL ends a name early for the operating system.
    #[error("file name {0:?} contains a zero byte")]
    Nul(String),
    /// A drive.
    #[error("file name {0:?} is a drive letter")]
    Drive(String),
    /// More folders than [`MAX_DEPTH`] or a path longer than [`MAX_PATH`].
    #[error("path {0:?} is too deep or too long")]
    TooLong(String),
    /// Two files with one path: the second would overwrite the first.
    #[error("path {0:?} appears twice")]
    Duplicate(String),
    /// Two files whose paths are the same where case and Unicode form do not count.
    #[error("paths {0:?} and {1:?} differ in upper and lower case or Unicode form only")]
    CaseClash(String, String),
    /// A new name for a file that would have to be changed to be safe: choose another one.
    #[error("file name {0:?} has characters that are not safe, or is too long")]
    Unsafe(String),
    /// The torrent has no file of this number.
    #[error("there is no file {0}")]
    NoSuchFile(usize),
    /// One path is a file and also the folder of another file.
    #[error("path {0:?} is both a file and a folder")]
    FileAndFolder(String),
}

impl Rules {
    /// Only what is never allowed.
    pub const UNIX: Rules = Rules { windows_names: false, ignore_case: false };
    /// What Windows cannot bear too.
    pub const WINDOWS: Rules = Rules { windows_names: true, ignore_case: true };

    /// The rules of the platform that this program was built for.
    pub const fn host() -> Rules {
        Rules {
            windows_names: cfg!(windows),
            ignore_case: cfg!(any(windows, target_os = "macos", target_os = "ios")),
        }
    }

    /// Makes one component of a path safe, see the table above.
    ///
    /// # Errors
    ///
    /// A name that is not one component, or leads elsewhere.
    pub fn component(self, name: &[u8]) -> Result<Cow<'_, str>, PathError> {
        let text = String::from_utf8_lossy(name);
        let shown = || text.chars().take(100).collect::<String>();
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        // Windows drops trailing dots and spaces: ".. " would be "..".
        if text.trim_end_matches(['.', ' ']).is_empty() {
            return Err(PathError::Dots(shown()));
        }
        if text.contains('\0') {
            return Err(PathError::Nul(shown()));
        }
        if text.contains(['/', '\\']) {
            return Err(PathError::Separator(shown()));
        }
        if matches!(text.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic()) {
            return Err(PathError::Drive(shown()));
        }
        // A file that looks like a record of another torrent would be read as one, see `disk`.
        if is_record(&text) {
            return Ok(Cow::Owned(format!("_{text}")));
        }
        if is_plain(&text) && !self.windows_names && text.len() <= MAX_NAME {
            return Ok(text);
        }
        let mut safe: String = text
            .chars()
            .map(|c| if is_hidden(c) || c == char::REPLACEMENT_CHARACTER { '_' } else { c })
            .collect();
        if self.windows_names {
            safe = for_windows(&safe);
        }
        Ok(Cow::Owned(if safe.len() > MAX_NAME { shorten(&safe, name) } else { safe }))
    }
}

/// Refuses a path that is longer or deeper than is kept. Paths here are safe components joined by `/`.
pub(crate) fn check_extent(path: &str) -> Result<(), PathError> {
    if path.len() > MAX_PATH || path.bytes().filter(|b| *b == b'/').count() >= MAX_DEPTH {
        return Err(PathError::TooLong(path.chars().take(100).collect()));
    }
    Ok(())
}

/// Refuses paths that would share a file, or need a folder where another has a file.
///
/// Sorted so that `/` comes first, equal paths are neighbours, and so are a file and what wants to be below it. Most
/// torrents come sorted, which makes this one pass.
pub(crate) fn refuse_clashes<'a>(
    rules: Rules,
    paths: impl Iterator<Item = &'a str>,
) -> Result<(), PathError> {
    let key = |path: &'a str| if rules.ignore_case { Cow::Owned(fold(path)) } else { Cow::Borrowed(path) };
    let mut sorted: Vec<(Cow<'_, str>, &str)> = paths.map(|path| (key(path), path)).collect();
    sorted.sort_by(|(a, _), (b, _)| compare(a.as_bytes(), b.as_bytes()));
    for pair in sorted.windows(2) {
        let [(key, path), (next_key, next)] = pair else { continue };
        match next_key.strip_prefix(&**key) {
            Some("") if path == next => return Err(PathError::Duplicate((*path).to_owned())),
            Some("") => return Err(PathError::CaseClash((*path).to_owned(), (*next).to_owned())),
            Some(rest) if rest.starts_with('/') => return Err(PathError::FileAndFolder((*path).to_owned())),
            _ => {}
        }
    }
    Ok(())
}

/// New paths for files whose paths would be one where upper and lower case and Unicode form do not count: by number,
/// those that have to give way. Which, and what they are called then, depends on the paths and their order only.
///
/// The first file keeps its path; one whose path is the folder of another always gives way.
pub(crate) fn told_apart<'a>(
    paths: impl Iterator<Item = (usize, &'a str)> + Clone,
) -> BTreeMap<usize, String> {
    let folding = Rules { windows_names: false, ignore_case: true };
    if refuse_clashes(folding, paths.clone().map(|(_, path)| path)).is_ok() {
        return BTreeMap::new();
    }
    let mut folders = HashSet::new();
    let mut taken: HashSet<String> = paths.clone().map(|(_, path)| fold(path)).collect();
    for (_, path) in paths.clone() {
        folders.extend(path.match_indices('/').map(|(at, _)| fold(&path[..at])));
    }
    let mut seen = HashSet::new();
    let mut new = BTreeMap::new();
    for (file, path) in paths {
        let key = fold(path);
        if !folders.contains(&key) && seen.insert(key) {
            continue;
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Nearly always the first try.
        for n in 0u32.. {
            let marked = marked(name, &[path.as_bytes(), &n.to_be_bytes()].concat());
            let other = if parent.is_empty() { marked } else { format!("{parent}/{marked}") };
            let key = fold(&other);
            if !folders.contains(&key) && taken.insert(key) {
                new.insert(file, other);
                break;
            }
        }
    }
    new
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((a, b)) => rank(a).cmp(&rank(b)),
        None => a.len().cmp(&b.len()),
    }
}

/// Replaces what could fool a reader or drive a terminal in a text from outside: control characters and
/// bidirectional overrides become spaces. At most `max` characters are kept.
pub fn clean_text(text: &[u8], max: usize) -> String {
    String::from_utf8_lossy(text).chars().take(max).map(|c| if is_hidden(c) { ' ' } else { c }).collect()
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b))
        || !text.chars().any(|c| is_hidden(c) || c == char::REPLACEMENT_CHARACTER)
}

/// Characters that are not seen but change what is seen, or that a terminal obeys.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn for_windows(name: &str) -> String {
    let mut safe: String = name.chars().map(|c| if r#"<>:"|?*"#.contains(c) { '_' } else { c }).collect();
    let kept = safe.trim_end_matches(['.', ' ']).len();
    let trailing = safe.len() - kept;
    safe.truncate(kept);
    safe.extend(std::iter::repeat_n('_', trailing));
    // A device is meant with any extension, and with spaces before it.
    let stem = safe.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|n| {
            let mut digits = n.chars();
            matches!((digits.next(), digits.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    };
    let device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str());
    if device || numbered("COM") || numbered("LPT") {
        safe.insert(0, '_');
    }
    safe
}

/// Cuts a name down to [`MAX_NAME`] bytes. A hash of the whole name keeps two long names apart that begin alike.
fn shorten(safe: &str, original: &[u8]) -> String {
    marked(safe, original)
}

/// A name of at most [`MAX_NAME`] bytes with a mark made of a hash of `original`; the extension stays.
fn marked(safe: &str, original: &[u8]) -> String {
    let extension = match safe.rfind('.') {
        Some(at) if at > 0 && safe.len() - at <= MAX_EXTENSION => &safe[at..],
        _ => "",
    };
    let hash = Sha1::digest(original);
    let tail = format!("~{:02x}{:02x}{:02x}{:02x}{extension}", hash[0], hash[1], hash[2], hash[3]);
    let mut keep = (MAX_NAME - tail.len()).min(safe.len() - extension.len());
    while !safe.is_char_boundary(keep) {
        keep -= 1;
    }
    format!("{}{tail}", &safe[..keep])
}

/// A name that this program gives to what it keeps beside the data of a torrent.
fn is_record(name: &str) -> bool {
    let Some((hash, kind)) = name.strip_prefix('.').and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    let kind = kind.to_ascii_lowercase();
    hash.len() == 40
        && hash.bytes().all(|b| b.is_ascii_hexdigit())
        && ["resume", "parts"].iter().any(|known| kind.starts_with(known))
}

/// The same for all paths that some file system takes for one: upper and lower case and Unicode form do not count.
pub(crate) fn fold(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    // Upper and then lower: ß and ẞ, ſ and s, Greek final sigma come out the same. NFC: a letter with an accent is one
    // character or two; case mapping can take such a pair apart, so it comes last.
    path.nfd().collect::<String>().to_uppercase().to_lowercase().nfc().collect()
}

/// Longest component, bytes. File systems take 255; the rest is for suffixes such as that of a partial file.
pub const MAX_NAME: usize = 240;

/// Longest path below the download folder, bytes; Linux takes 4096 in all.
pub const MAX_PATH: usize = 3_000;

/// Most components of a path.
pub const MAX_DEPTH: usize = 64;

/// An extension longer than this, dot and all, is not one.
const MAX_EXTENSION: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for rules in [Rules::UNIX, Rules::WINDOWS] {
            for name in [
                "",
                ".",
                "..",
                "...",
                ".. ",
                ". .",
                " ",
                "/",
                "/etc/passwd",
                "a/b",
                "../x",
                "..\\x",
                "\\\\srv\\x",
                "a\0b",
                "\0",
                "C:",
                "z:",
                "C:\\x",
                "C:/x",
            ] {
                assert!(rules.component(name.as_bytes()).is_err(), "{name:?}");
            }
        }
    }

    #[test]
    fn ordinary_names_stay() {
        for name in
            ["a", "a.b", ".hidden", "..a", "a..", "Vol. 1.", "aux.c", "M: 1931", "déjà vu.txt", "日本語"]
        {
            assert_eq!(Rules::UNIX.component(name.as_bytes()).unwrap(), name);
        }
    }

    #[test]
    fn hidden_characters_are_replaced() {
        let safe = |name: &[u8]| Rules::UNIX.component(name).unwrap().into_owned();
        assert_eq!(safe("photo\u{202e}gpj.exe".as_bytes()), "photo_gpj.exe");
        assert_eq!(safe(b"a\x1b[2Jb\n"), "a_[2Jb_");
        assert_eq!(safe(b"gr\xfc\xdfe"), "gr__e");
        assert_eq!(clean_text(b"a\x1b]0;x\x07\nb\xff", 7), "a ]0;x ");
    }

    #[test]
    fn windows_names() {
        let safe = |name: &str| Rules::WINDOWS.component(name.as_bytes()).unwrap().into_owned();
        assert_eq!(safe("con"), "_con");
        assert_eq!(safe("Aux.tar.gz"), "_Aux.tar.gz");
        assert_eq!(safe("nul .txt"), "_nul .txt");
        assert_eq!(safe("COM1"), "_COM1");
        assert_eq!(safe("LPT¹.x"), "_LPT¹.x");
        assert_eq!(safe("com10"), "com10");
        assert_eq!(safe("console"), "console");
        assert_eq!(safe("Vol. 1. "), "Vol. 1__");
        assert_eq!(safe("a:b?"), "a_b_");
    }

    #[test]
    fn long_names_keep_their_extension_and_stay_apart() {
        let long = |tail: &str| {
            Rules::UNIX.component(format!("{}{tail}", "ä".repeat(150)).as_bytes()).unwrap().into_owned()
        };
        let (a, b) = (long("1.tar"), long("2.tar"));
        assert!(a.len() <= MAX_NAME && a.ends_with(".tar"), "{a}");
        assert_ne!(a, b);
        assert!(!long(".no extension this long").contains('.'));
    }

    fn apart(paths: &[&str]) -> Vec<String> {
        let new = told_apart(paths.iter().copied().enumerate());
        paths.iter().enumerate().map(|(i, path)| new.get(&i).map_or(*path, |p| p).to_owned()).collect()
    }

    #[test]
    fn names_that_are_one_somewhere_are_told_apart_the_same_way_everywhere() {
        assert_eq!(apart(&["t/a", "t/b", "t/c/a"]), ["t/a", "t/b", "t/c/a"]);
        // NFC and NFD, upper and lower case; the first keeps its name, the others their extension.
        let clash = ["t/Ärger.txt", "t/a\u{308}rger.txt", "t/A\u{308}RGER.TXT", "t/x"];
        let new = apart(&clash);
        assert_eq!((&*new[0], &*new[3]), ("t/Ärger.txt", "t/x"));
        assert!(new[1].starts_with("t/a\u{308}rger~") && new[1].ends_with(".txt"), "{new:?}");
        assert!(new[2].starts_with("t/A\u{308}RGER~") && new[2].ends_with(".TXT"), "{new:?}");
        assert_eq!(apart(&clash), new);
        // A file gives way to a folder, whichever is first.
        let new = apart(&["t/A", "t/a/b"]);
        assert!(new[0].starts_with("t/A~") && new[1] == "t/a/b", "{new:?}");
        // A name that is as long as can be stays so; what stands there already is avoided.
        let long = format!("t/{}.mkv", "x".repeat(MAX_NAME - 4));
        let new = apart(&[&long, &long.to_uppercase()]);
        assert!(new[1].len() <= MAX_NAME + 2 && new[1].ends_with(".MKV"), "{new:?}");
        let taken = apart(&["t/a", "t/A"])[1].clone();
        let new = apart(&["t/a", "t/A", &taken]);
        assert!(new[1] != taken && new[2] == taken, "{new:?}");
    }

    #[test]
    fn a_torrent_cannot_bring_a_record_of_another() {
        let record = format!(".{}.resume", "0a".repeat(20));
        for name in
            [&record, &record.to_uppercase(), &format!("{record}.new"), &record.replace("resume", "parts")]
        {
            assert_eq!(Rules::UNIX.component(name.as_bytes()).unwrap(), format!("_{name}"));
        }
        assert_eq!(Rules::UNIX.component(b".abc.resume").unwrap(), ".abc.resume");
    }

    fn set(rules: Rules, paths: &[&str]) -> Result<(), PathError> {
        refuse_clashes(rules, paths.iter().copied())
    }

    #[test]
    fn paths_that_share_a_file_are_refused() {
        assert_eq!(set(Rules::UNIX, &["t/a", "t/b", "t/a"]), Err(PathError::Duplicate("t/a".into())));
        assert_eq!(set(Rules::UNIX, &["t/a", "t/a/b"]), Err(PathError::FileAndFolder("t/a".into())));
        assert_eq!(set(Rules::UNIX, &["t/a/b/c", "t/x", "t/a"]), Err(PathError::FileAndFolder("t/a".into())));
        assert_eq!(set(Rules::UNIX, &["t/a", "t/A", "t/b/c", "t/d", "t/b/e"]), Ok(()));
        assert_eq!(
            set(Rules::WINDOWS, &["t/straße", "t/STRASSE"]),
            Err(PathError::CaseClash("t/straße".into(), "t/STRASSE".into()))
        );
        let between = ["t/a!", "t/a", "t/a b", "t/a-", "t/a/b", "t/b"];
        assert_eq!(set(Rules::UNIX, &between), Err(PathError::FileAndFolder("t/a".into())));
        assert_eq!(set(Rules::UNIX, &["t/ab/c", "t/a", "t/abc"]), Ok(()));
        assert!(check_extent(&"a/".repeat(64)).is_err() && check_extent(&"a".repeat(4000)).is_err());
        assert!(check_extent(&"a/".repeat(63)).is_ok());
    }

    proptest! {
        #[test]
        fn what_comes_out_is_one_safe_component(name in prop::collection::vec(any::<u8>(), 0..400)) {
            for rules in [Rules::UNIX, Rules::WINDOWS] {
                if let Ok(safe) = rules.component(&name) {
                    let mut components = std::path::Path::new(&*safe).components();
                    prop_assert!(matches!(components.next(), Some(std::path::Component::Normal(_))));
                    prop_assert!(components.next().is_none());
                    prop_assert!(safe.len() <= MAX_NAME && !safe.chars().any(is_hidden));
                    prop_assert_eq!(&rules.component(safe.as_bytes()).unwrap(), &safe);
                }
            }
        }
    }
}
