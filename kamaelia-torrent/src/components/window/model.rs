//! What the window knows, without a screen.

use std::collections::VecDeque;

use super::super::http_client::FetchFailed;
use super::super::ipc::{TorrentEvent, printable};
use crate::engine::TorrentId;

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Typed a character.
    Type(char),
    /// Took the last character back.
    Erase,
    /// Asked for the torrent whose URL was typed.
    Enter,
    /// Chose the line above.
    Up,
    /// Chose the line below.
    Down,
    /// Removed the chosen line.
    Remove,
    /// Closed the window.
    Close,
    /// Changed the size of the window, or anything else that only has to be drawn.
    Redraw,
}

/// A torrent's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The torrent.
    pub torrent_id: TorrentId,
    /// The name that was pending when it was created.
    pub name: String,
    /// Whole percent of it that are there.
    pub percent: u32,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} - {}%", self.name, self.percent)
    }
}

/// What is to be shown. All texts are free of control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What has been typed so far.
    pub entry: String,
    /// The torrents, in the order of their creation.
    pub lines: Vec<Line>,
    /// The index of the line that is chosen; meaningless without lines.
    pub chosen: usize,
    /// Names that were asked for and not answered yet, oldest first.
    pub pending: VecDeque<String>,
    /// What went wrong last.
    pub complaint: Option<String>,
}

/// What the component shall do about an action.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Fetch(String),
    Remove(TorrentId),
    Close,
}

#[derive(Default)]
pub(super) struct Model {
    view: View,
}

/// Longest URL that can be typed, in characters.
const MAX_ENTRY: usize = 4096;

fn name_of(url: &str) -> String {
    url.rsplit('/').next().unwrap_or(url).to_string()
}

impl Model {
    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn act(&mut self, action: Action) -> Option<Wish> {
        let view = &mut self.view;
        match action {
            Action::Type(c) if !c.is_control() && view.entry.chars().count() < MAX_ENTRY => {
                view.entry.push(c)
            }
            Action::Erase => drop(view.entry.pop()),
            Action::Enter => {
                let url = std::mem::take(&mut view.entry).trim().to_string();
                if !url.is_empty() {
                    view.complaint = None;
                    view.pending.push_back(name_of(&url));
                    return Some(Wish::Fetch(url));
                }
            }
            Action::Up => view.chosen = view.chosen.saturating_sub(1),
            Action::Down => view.chosen = (view.chosen + 1).min(view.lines.len().saturating_sub(1)),
            Action::Remove if view.chosen < view.lines.len() => {
                let line = view.lines.remove(view.chosen);
                view.chosen = view.chosen.min(view.lines.len().saturating_sub(1));
                return Some(Wish::Remove(line.torrent_id));
            }
            Action::Close => return Some(Wish::Close),
            Action::Type(_) | Action::Remove | Action::Redraw => {}
        }
        None
    }

    /// Takes a message of the patron; whether it changed what is shown.
    pub(super) fn heard(&mut self, event: &TorrentEvent) -> bool {
        let view = &mut self.view;
        match event {
            TorrentEvent::NewTorrentCreated { torrent_id, save_folder, .. } => {
                // Without a pending name somebody else asked the patron.
                let name = view.pending.pop_front().unwrap_or_else(|| {
                    let last = save_folder.file_name().unwrap_or(save_folder.as_os_str());
                    printable(&last.to_string_lossy())
                });
                view.lines.push(Line { torrent_id: *torrent_id, name, percent: 0 });
                true
            }
            TorrentEvent::TorrentAlreadyDownloading { .. } => {
                self.complain(event.to_string());
                true
            }
            TorrentEvent::TorrentStartFail(fail) => match fail.torrent_id {
                // One that had started: its line goes, not somebody's pending name.
                Some(id) if view.lines.iter().any(|l| l.torrent_id == id) => {
                    view.lines.retain(|l| l.torrent_id != id);
                    view.chosen = view.chosen.min(view.lines.len().saturating_sub(1));
                    view.complaint = Some(event.to_string());
                    true
                }
                _ => {
                    self.complain(event.to_string());
                    true
                }
            },
            TorrentEvent::TorrentStatusUpdate { torrent_id, status } => {
                let Some(line) = view.lines.iter_mut().find(|l| l.torrent_id == *torrent_id) else {
                    return false;
                };
                std::mem::replace(&mut line.percent, status.percent()) != status.percent()
            }
            TorrentEvent::TorrentRestored { torrent_id, name, .. } => {
                view.lines.push(Line { torrent_id: *torrent_id, name: printable(name), percent: 0 });
                true
            }
            _ => false,
        }
    }

    pub(super) fn fetch_failed(&mut self, failed: &FetchFailed) {
        let name = name_of(&failed.url);
        // Names can be the same; the fetcher takes them in order, so it is the first of them.
        if let Some(i) = self.view.pending.iter().position(|n| *n == name) {
            self.view.pending.remove(i);
        }
        self.view.complaint = Some(failed.to_string());
    }

    /// A request was refused: the oldest one that has no answer yet.
    fn complain(&mut self, text: String) {
        let name = self.view.pending.pop_front();
        self.view.complaint = Some(match name {
            Some(name) => format!("{name}: {text}"),
            None => text,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::ipc::TorrentStartFail;
    use super::super::super::status::sample;
    use super::*;

    fn enter(model: &mut Model, url: &str) -> Option<Wish> {
        for c in url.chars() {
            assert_eq!(model.act(Action::Type(c)), None);
        }
        model.act(Action::Enter)
    }

    fn created(id: u32) -> TorrentEvent {
        let torrent_id = TorrentId(id);
        TorrentEvent::NewTorrentCreated { torrent_id, save_folder: "./saved".into(), listen: None, tag: None }
    }

    fn lines(model: &Model) -> Vec<String> {
        model.view().lines.iter().map(Line::to_string).collect()
    }

    #[test]
    fn to_ex_04_the_last_part_of_the_url_is_pending_and_becomes_a_line() {
        let mut m = Model::default();
        let url = "http://host/a/film.torrent";
        assert_eq!(enter(&mut m, url), Some(Wish::Fetch(url.into())));
        assert_eq!(m.view().entry, "");
        assert_eq!(m.view().pending, ["film.torrent"]);
        assert!(m.heard(&created(4)));
        assert_eq!(lines(&m), ["film.torrent - 0%"]);
        assert!(m.view().pending.is_empty());
        let status = Arc::new(sample(0.429));
        assert!(m.heard(&TorrentEvent::TorrentStatusUpdate { torrent_id: TorrentId(4), status }));
        assert_eq!(lines(&m), ["film.torrent - 42%"]);
    }

    #[test]
    fn to_ex_04_a_refusal_drops_the_first_pending_name_and_is_complained_of() {
        let mut m = Model::default();
        for url in ["x/1.torrent", "x/2.torrent", "x/3.torrent"] {
            enter(&mut m, url);
        }
        let fail = TorrentStartFail { reason: "no\u{1b}good".into(), torrent_id: None, tag: None };
        m.heard(&TorrentEvent::TorrentStartFail(fail));
        let complaint = m.view().complaint.clone().unwrap();
        assert!(complaint.starts_with("1.torrent: ") && !complaint.contains('\u{1b}'), "{complaint}");
        m.heard(&TorrentEvent::TorrentAlreadyDownloading { torrent_id: TorrentId(1), tag: None });
        m.heard(&created(2));
        assert_eq!(lines(&m), ["3.torrent - 0%"]);
    }

    #[test]
    fn d_49_a_torrent_that_fails_later_takes_its_own_line_along_and_no_pending_name() {
        let mut m = Model::default();
        enter(&mut m, "x/1.torrent");
        m.heard(&created(1));
        enter(&mut m, "x/2.torrent");
        let fail = TorrentStartFail { reason: "disk full".into(), torrent_id: Some(TorrentId(1)), tag: None };
        m.heard(&TorrentEvent::TorrentStartFail(fail));
        assert!(lines(&m).is_empty());
        assert_eq!(m.view().pending, ["2.torrent"]);
    }

    #[test]
    fn a_url_that_cannot_be_fetched_drops_its_own_name() {
        let mut m = Model::default();
        enter(&mut m, "x/1.torrent");
        enter(&mut m, "x/2.torrent");
        m.fetch_failed(&FetchFailed { url: "x/1.torrent".into(), reason: "HTTP status 404".into() });
        assert_eq!(m.view().pending, ["2.torrent"]);
        assert_eq!(m.view().complaint.as_deref(), Some("cannot fetch x/1.torrent: HTTP status 404"));
    }

    #[test]
    fn lines_are_chosen_and_removed() {
        let mut m = Model::default();
        assert_eq!(m.act(Action::Remove), None);
        for id in 1..=3 {
            m.heard(&created(id));
        }
        for action in [Action::Down, Action::Down, Action::Down] {
            m.act(action);
        }
        assert_eq!(m.act(Action::Remove), Some(Wish::Remove(TorrentId(3))));
        assert_eq!(m.act(Action::Remove), Some(Wish::Remove(TorrentId(2))));
        m.act(Action::Up);
        assert_eq!(m.act(Action::Remove), Some(Wish::Remove(TorrentId(1))));
        assert_eq!(m.act(Action::Remove), None);
    }

    #[test]
    fn what_is_typed_is_bounded_and_printable() {
        let mut m = Model::default();
        for c in std::iter::repeat_n('ä', MAX_ENTRY + 9).chain(['\u{1b}']) {
            m.act(Action::Type(c));
        }
        assert_eq!(m.view().entry.chars().count(), MAX_ENTRY);
        m.act(Action::Erase);
        assert_eq!(m.view().entry.chars().count(), MAX_ENTRY - 1);
    }
}
