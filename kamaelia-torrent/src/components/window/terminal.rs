//! A terminal as a screen.

use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::task::{Context, Poll};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_core::Stream;
use ratatui::DefaultTerminal;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Stylize;
use ratatui::text::Line as Text;
use ratatui::widgets::{Block, List, ListState, Paragraph};

use super::{Action, Screen, View};

/// Draws the window on the terminal that the program runs in.
///
/// Type a URL and press Enter; the arrows choose a line, Delete removes it; Escape or Ctrl-C closes the window. The
/// terminal is given back as it was when this is dropped, and when the program panics.
pub struct TerminalScreen {
    terminal: DefaultTerminal,
    keys: EventStream,
}

impl TerminalScreen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// Standard input or output is not a terminal, or it refuses.
    pub fn new() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other("the window needs a terminal for its input and output"));
        }
        Ok(Self { terminal: ratatui::try_init()?, keys: EventStream::new() })
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl Screen for TerminalScreen {
    fn draw(&mut self, view: &View) -> io::Result<()> {
        self.terminal.draw(|frame| {
            let rows = [Constraint::Length(3), Constraint::Min(1), Constraint::Length(1)];
            let [entry, list, foot] = Layout::vertical(rows).areas(frame.area());
            // A long URL shows its end, where one types.
            let room = usize::from(entry.width.saturating_sub(3));
            let hidden = view.entry.chars().count().saturating_sub(room);
            let shown: String = view.entry.chars().skip(hidden).collect();
            let typed = u16::try_from(Text::raw(&*shown).width()).unwrap_or(u16::MAX);
            let title = Block::bordered().title("Add Torrent (URL)");
            frame.render_widget(Paragraph::new(shown).block(title), entry);
            frame.set_cursor_position((entry.x.saturating_add(1).saturating_add(typed), entry.y + 1));
            let waiting = view.pending.iter().map(|name| Text::raw(format!("{name} - pending")).dim());
            let lines: Vec<Text<'_>> =
                view.lines.iter().map(|l| Text::raw(l.to_string())).chain(waiting).collect();
            let list_block = Block::bordered().title("Kamaelia BitTorrent Client");
            let mut state = ListState::default().with_selected(Some(view.chosen));
            let widget = List::new(lines).block(list_block).highlight_symbol("> ");
            frame.render_stateful_widget(widget, list, &mut state);
            let help = "Enter: add   Up/Down: choose   Delete: remove   Esc: close";
            let line = match &view.complaint {
                Some(complaint) => Text::raw(&**complaint).bold(),
                None => Text::raw(help).dim(),
            };
            frame.render_widget(line, foot);
        })?;
        Ok(())
    }

    fn poll_action(&mut self, task: &mut Context<'_>) -> Poll<io::Result<Action>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.keys).poll_next(task)) {
                None => return Poll::Ready(Ok(Action::Close)),
                Some(Err(e)) => return Poll::Ready(Err(e)),
                Some(Ok(event)) => {
                    if let Some(action) = meaning(&event) {
                        return Poll::Ready(Ok(action));
                    }
                }
            }
        }
    }
}

fn meaning(event: &Event) -> Option<Action> {
    let key = match event {
        Event::Resize(..) => return Some(Action::Redraw),
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => return None,
        Event::Key(key) => key,
        _ => return None,
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Action::Close,
        KeyCode::Char(c) if !control => Action::Type(c),
        KeyCode::Backspace => Action::Erase,
        KeyCode::Enter => Action::Enter,
        KeyCode::Up => Action::Up,
        KeyCode::Down => Action::Down,
        KeyCode::Delete => Action::Remove,
        KeyCode::Esc => Action::Close,
        _ => return None,
    })
}
