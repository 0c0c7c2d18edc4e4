//! A file of a torrent as a stream of bytes, while it is downloaded.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use axon::{AnyInstance, BoxError, Component, Cx, Ipc, LinkError, Message, Microprocess, ports};

use super::client::TorrentClient;
use super::ipc::{
    CloseTorrent, CreateNewTorrent, ListFiles, ReadFile, RequestTag, SetFilePriorities, TorrentEvent,
};
use super::patron::TorrentPatron;
use super::service::ClientFactory;
use crate::engine::{DEFAULT_AHEAD, FileChunk, TorrentId};
use crate::proto::metainfo::Metainfo;
use crate::proto::selection::Priority;

ports! {
    /// Boxes of a [`TorrentFileStream`].
    pub struct FileStreamPorts {
        in  { /// Torrents, as for a [`TorrentPatron`]: [`CreateNewTorrent`], or the bytes of a .torrent file.
              inbox: Message,
              /// When to stop.
              control: Ipc,
              /// What its patron says.
              events: TorrentEvent,
              /// The end of its patron.
              _patron: Ipc }
        out { /// The bytes of the files, in order, in chunks of at most 256 KiB.
              outbox: Vec<u8>,
              /// How its torrents do: everything that a patron says but the bytes.
              status: TorrentEvent,
              /// Error information for each file that could not be streamed; producer finished at the end.
              signal: Ipc,
              /// To its patron.
              requests: Message,
              /// Tells its patron to leave.
              leave: Ipc }
    }
}

/// Which file of a torrent is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileChoice {
    /// The longest one, the first of several: the film beside its subtitles.
    #[default]
    Longest,
    /// By its number, counted from 0.
    Number(usize),
    /// By its name, which must mean one file: its path in the torrent or the end of it, `*` standing for any text and
    /// `?` for any character.
    Name(String),
}

impl FileChoice {
    /// What a user writes: a number, or a name.
    pub fn from_text(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)
    }

    /// The number of the file that is meant.
    ///
    /// # Errors
    /// What is wrong with the choice: no file is meant, or several are.
    pub fn find(&self, metainfo: &Metainfo) -> Result<usize, String> {
        let files = metainfo.files();
        let real = || files.iter().enumerate().filter(|(_, file)| !file.pad);
        match self {
            Self::Number(number) => match files.get(*number) {
                Some(file) if !file.pad => Ok(*number),
                Some(_) => Err(format!("file {number} is padding")),
                None => Err(format!("there is no file {number}: there are {}, counted from 0", files.len())),
            },
            Self::Longest => {
                // Of several the first: hence in reverse.
                let longest = real().rev().max_by_key(|(_, file)| file.len);
                longest.map(|(number, _)| number).ok_or_else(|| "there is no file".to_owned())
            }
            Self::Name(name) => {
                let means = |path: &str| {
                    let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
                    std::iter::once(path).chain(ends).any(|end| matches_wildcards(name, end))
                };
                let path = |number: usize| files[number].path.to_string_lossy().replace('\\', "/");
                let found: Vec<usize> =
                    real().map(|(number, _)| number).filter(|n| means(&path(*n))).collect();
                match found[..] {
                    [] => Err(format!("no file is called {name:?}")),
                    [one] => Ok(one),
                    [one, other, ..] => Err(format!(
                        "{} files are called {name:?}, among them {} and {}",
                        found.len(),
                        path(one),
                        path(other)
                    )),
                }
            }
        }
    }
}

/// Downloads a file of a torrent and sends its bytes while they come.
///
/// The bytes are sent in order, each as soon as its piece is verified. What is sent next is fetched before all others,
/// so that the first bytes come long before the file is complete. Its other files are not fetched, unless
/// [`CreateNewTorrent::priorities`] says so; of a torrent that the client has already, the file is added to what is
/// wanted.
///
/// # Boxes
/// See [`FileStreamPorts`]. Each torrent in `inbox` is streamed after the one before. It works through a patron of its
/// own, so it shares the client with all patrons of the program; at the end of its file the torrent is closed, unless
/// another patron asked for it too. No more than four chunks wait in the receiver's inbox, or fewer if that has a
/// smaller bound: a slow receiver holds the reading back, and costs no memory.
///
/// # Errors
/// A file that cannot be had is reported on `signal` as [`Ipc::ErrorInformation`], whose text says why; what follows
/// is still streamed. Then the component ends as failed.
///
/// # Shutdown
/// `producerFinished`: streams what is queued, then ends. [`Ipc::Shutdown`] and `shutdownMicroprocess`: ends at once.
/// Either way the patron leaves, then a `producerFinished` goes out on `signal`. Made with [`of`](Self::of) it ends
/// after its file.
///
/// # Example
/// ```no_run
/// use axon::{file::SimpleFileWriter, prelude::*};
/// use kamaelia_torrent::components::{CreateNewTorrent, TorrentFileStream};
///
/// let torrent = CreateNewTorrent::new(std::fs::read("album.torrent")?);
/// Pipeline::new()
///     .then(TorrentFileStream::of(torrent).file("disc1/*.ogg"))
///     .then(SimpleFileWriter::new("one.ogg"))
///     .run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TorrentFileStream {
    factory: ClientFactory,
    choice: FileChoice,
    ahead: u64,
    queue: VecDeque<CreateNewTorrent>,
}

impl Default for TorrentFileStream {
    fn default() -> Self {
        Self::new()
    }
}

impl TorrentFileStream {
    /// Streams the torrents that come in its inbox.
    pub fn new() -> Self {
        let factory: ClientFactory = Rc::new(|| TorrentClient::new().create().any());
        Self { factory, choice: FileChoice::default(), ahead: DEFAULT_AHEAD, queue: VecDeque::new() }
    }

    /// Streams this torrent and ends.
    pub fn of(torrent: CreateNewTorrent) -> Self {
        Self { queue: [torrent].into(), ..Self::new() }
    }

    /// If its patron is the first of the program, the shared client is made by `client`.
    #[must_use]
    pub fn with_client(mut self, client: impl Fn() -> AnyInstance + 'static) -> Self {
        self.factory = Rc::new(client);
        self
    }

    /// The file to stream, by number or name as in [`FileChoice::from_text`]. Without this it is the longest one.
    #[must_use]
    pub fn file(mut self, file: &str) -> Self {
        self.choice = FileChoice::from_text(file);
        self
    }

    /// The file to stream.
    #[must_use]
    pub fn choice(mut self, choice: FileChoice) -> Self {
        self.choice = choice;
        self
    }

    /// How far ahead pieces are fetched before all others, bytes; 8 MiB unless it is said.
    #[must_use]
    pub fn ahead(mut self, bytes: u64) -> Self {
        self.ahead = bytes;
        self
    }
}

/// What is being streamed.
struct Current {
    name: String,
    file: usize,
    id: Option<TorrentId>,
    /// It is not known whether the file is wanted.
    asks: bool,
    /// The read has ended, perhaps with an error.
    ended: Option<Option<String>>,
}

struct Run {
    choice: FileChoice,
    ahead: u64,
    queue: VecDeque<CreateNewTorrent>,
    current: Option<Current>,
    /// Number of the torrent in work, as tag of its requests.
    tag: RequestTag,
    chunks: VecDeque<Arc<FileChunk>>,
    /// The last thing that went wrong.
    error: Option<String>,
}

impl Component for TorrentFileStream {
    type Ports = FileStreamPorts;

    async fn main(self, cx: Cx<FileStreamPorts>) {
        let result = self.stream(&cx).await;
        let _ = cx.signal.send(Ipc::producer_finished_by(cx.id()));
        cx.end_with(result);
    }
}

impl TorrentFileStream {
    async fn stream(self, cx: &Cx<FileStreamPorts>) -> Result<(), BoxError> {
        let factory = self.factory;
        let patron = TorrentPatron::with_client(move || factory()).create();
        patron.set_tracker(cx.tracker());
        adopt_patron(cx, &patron.any())?;
        cx.activate(&patron);
        let mut finishing = !self.queue.is_empty();
        let mut run = Run {
            choice: self.choice,
            ahead: self.ahead,
            queue: self.queue,
            current: None,
            tag: RequestTag(0),
            chunks: VecDeque::new(),
            error: None,
        };
        loop {
            let mut stop = false;
            while let Some(message) = cx.control.try_recv() {
                stop |= matches!(message, Ipc::Shutdown) || message.is_shutdown_microprocess();
                finishing |= message.is_producer_finished();
            }
            while let Some(message) = cx.inbox.try_recv() {
                match CreateNewTorrent::from_message(message) {
                    Ok(create) => run.queue.push_back(create),
                    Err(other) => {
                        run.fail(cx, format!("a message of type {} is no torrent", other.type_name()))
                    }
                }
            }
            while let Some(event) = cx.events.try_recv() {
                run.heard(cx, event);
            }
            run.send_chunks(cx);
            run.go_on(cx);
            if stop || patron.is_stopped() || (finishing && run.is_idle() && cx.inbox.is_empty()) {
                break;
            }
            cx.pause().await;
        }
        let _ = cx.leave.send(Ipc::Shutdown);
        while !patron.is_stopped() {
            cx.pause().await;
            while cx.events.try_recv().is_some() {}
        }
        match run.error {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

fn adopt_patron(cx: &Cx<FileStreamPorts>, patron: &AnyInstance) -> Result<(), LinkError> {
    cx.add_child(patron);
    cx.link(&cx.requests, (patron, "inbox"))?;
    cx.link(&cx.leave, (patron, "control"))?;
    cx.link((patron, "outbox"), &cx.events)?;
    cx.link((patron, "signal"), &cx._patron)?;
    Ok(())
}

impl Run {
    fn is_idle(&self) -> bool {
        self.current.is_none() && self.queue.is_empty()
    }

    /// Begins the next torrent, or ends this one after its last chunk.
    fn go_on(&mut self, cx: &Cx<FileStreamPorts>) {
        if self.chunks.is_empty()
            && let Some(current) = self.current.take_if(|current| current.ended.is_some())
        {
            if let Some(torrent_id) = current.id {
                let _ = cx.requests.send(Message::new(CloseTorrent { torrent_id }));
            }
            if let Some(Some(error)) = current.ended {
                self.fail(cx, format!("{}: {error}", current.name));
            }
        }
        while self.current.is_none()
            && let Some(mut create) = self.queue.pop_front()
        {
            let found = Metainfo::parse(&create.raw_metainfo)
                .map_err(|e| format!("not a usable .torrent file: {e}"))
                .and_then(|metainfo| Ok((self.choice.find(&metainfo)?, metainfo)));
            match found {
                Ok((file, metainfo)) => {
                    let name = metainfo.files()[file].path.display().to_string();
                    self.tag = RequestTag(self.tag.0 + 1);
                    create.tag = Some(self.tag);
                    only(&mut create.priorities, file, &metainfo);
                    let _ = cx.requests.send(Message::new(create));
                    self.current = Some(Current { name, file, id: None, asks: false, ended: None });
                }
                Err(error) => self.fail(cx, error),
            }
        }
    }

    fn heard(&mut self, cx: &Cx<FileStreamPorts>, event: TorrentEvent) {
        let Some(current) = &mut self.current else { return };
        match event {
            TorrentEvent::FileData { tag, data, .. } => {
                if tag == self.tag {
                    self.chunks.push_back(data);
                }
                return;
            }
            TorrentEvent::NewTorrentCreated { torrent_id, tag, .. }
            | TorrentEvent::TorrentAlreadyDownloading { torrent_id, tag }
                if tag == Some(self.tag) =>
            {
                current.id = Some(torrent_id);
                if matches!(event, TorrentEvent::TorrentAlreadyDownloading { .. }) {
                    // What others want of it is theirs to say.
                    current.asks = true;
                    let _ = cx.requests.send(Message::new(ListFiles { torrent_id }));
                }
                let read =
                    ReadFile { ahead: self.ahead, ..ReadFile::whole(torrent_id, current.file, self.tag) };
                let _ = cx.requests.send(Message::new(read));
            }
            TorrentEvent::TorrentFiles { torrent_id, ref files }
                if current.id == Some(torrent_id) && std::mem::take(&mut current.asks) =>
            {
                if files.get(current.file).is_some_and(|file| !file.priority.is_wanted()) {
                    let priorities = vec![(current.file, Priority::NORMAL)];
                    let _ = cx.requests.send(Message::new(SetFilePriorities { torrent_id, priorities }));
                }
            }
            TorrentEvent::ReadEnded { tag, ref error, .. } if tag == self.tag => {
                current.ended.get_or_insert(error.clone());
            }
            TorrentEvent::TorrentStartFail(ref fail)
                if fail.tag == Some(self.tag)
                    || (fail.torrent_id.is_some() && fail.torrent_id == current.id) =>
            {
                current.ended.get_or_insert(Some(fail.reason.clone()));
                // Its number is forgotten.
                current.id = None;
            }
            _ => {}
        }
        if cx.status.is_linked() {
            let _ = cx.status.send(event);
        }
    }

    /// Sends chunks as long as the receiver takes them. Each counts as kept, and so holds back the read, until it goes.
    fn send_chunks(&mut self, cx: &Cx<FileStreamPorts>) {
        while cx.outbox.len() < MOST_WAITING
            && !cx.outbox.is_full()
            && let Some(chunk) = self.chunks.pop_front()
        {
            // Nobody else has it: nothing is copied.
            let bytes = Arc::try_unwrap(chunk).map_or_else(|chunk| chunk.to_vec(), FileChunk::into_vec);
            if let Err(e) = cx.outbox.send(bytes) {
                self.fail(cx, format!("a chunk could not be delivered: {e}"));
            }
        }
    }

    fn fail(&mut self, cx: &Cx<FileStreamPorts>, error: String) {
        let _ = cx.signal.send(Ipc::error_information(cx.id(), error.clone()));
        self.error = Some(error);
    }
}

/// Sees to it that a file is wanted: alone if nothing is said of any file. A list of the wrong length is left to be
/// refused.
fn only(priorities: &mut Vec<Priority>, file: usize, metainfo: &Metainfo) {
    if priorities.is_empty() {
        priorities.resize(metainfo.files().len(), Priority::SKIP);
    }
    if let Some(priority) = priorities.get_mut(file).filter(|priority| !priority.is_wanted()) {
        *priority = Priority::NORMAL;
    }
}

/// Whether a text fits a pattern with `*` and `?`. Takes at most as many steps as the product of their lengths.
fn matches_wildcards(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star was, and what it stands for up to where.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, until)) = star else { return false };
                star = Some((at, until + 1));
                (p, t) = (at + 1, until + 1);
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Chunks that may wait in the inbox of the receiver.
const MOST_WAITING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_text() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("*", "", true),
            ("*.srt", "x.srt", true),
            ("*.srt", "x.srt.zip", false),
            ("?", "ü", true),
            ("?", "", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("disc?/*.ogg", "disc1/one.ogg", true),
        ] {
            assert_eq!(matches_wildcards(pattern, text), fits, "{pattern} {text}");
        }
        let long = "a".repeat(2000);
        assert!(!matches_wildcards(&format!("{}b", "a*".repeat(500)), &long));
    }

    #[test]
    fn a_file_is_chosen_by_length_number_or_name() {
        let raw = b"d4:infod5:filesld6:lengthi5e4:pathl1:d5:a.oggeed6:lengthi9e4:pathl1:d5:b.oggeed4:attr1:p6:lengthi50e\
            4:pathl4:.pad2:50eed6:lengthi9e4:pathl5:c.txteee4:name1:t12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
        let metainfo = Metainfo::parse(raw).unwrap();
        let find = |text: &str| FileChoice::from_text(text).find(&metainfo);
        assert_eq!(FileChoice::Longest.find(&metainfo), Ok(1), "the first of two, and no padding");
        for (text, number) in [("0", 0), ("3", 3), ("b.ogg", 1), ("d/a*", 0), ("t/d/a.ogg", 0), ("*.txt", 3)]
        {
            assert_eq!(find(text), Ok(number), "{text}");
        }
        assert_eq!(find("2").unwrap_err(), "file 2 is padding");
        assert_eq!(find("4").unwrap_err(), "there is no file 4: there are 4, counted from 0");
        assert_eq!(find("*.mp3").unwrap_err(), "no file is called \"*.mp3\"");
        let several = find("*.ogg").unwrap_err();
        assert_eq!(several, "2 files are called \"*.ogg\", among them t/d/a.ogg and t/d/b.ogg");
    }
}
