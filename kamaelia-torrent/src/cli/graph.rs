//! The component graph as text.

use std::collections::HashMap;
use std::fmt::Write;

use axon::introspect::{BoxId, Snapshot};

/// One line a link: `Session_7.outbox -> TorrentPatron_9.inbox   12 messages`.
pub(crate) fn text(snapshot: &Snapshot) -> String {
    let names: HashMap<_, _> =
        snapshot.components.iter().map(|c| (c.id, c.name.rsplit('.').next().unwrap_or(&c.name))).collect();
    let mut sent = HashMap::new();
    for c in &snapshot.components {
        for o in &c.outboxes {
            sent.insert((c.id, o.name.as_str()), o.sent);
        }
    }
    let end = |b: &BoxId| format!("{}.{}", names.get(&b.component).unwrap_or(&"?"), b.name);
    let rows: Vec<(String, String, Option<u64>)> = snapshot
        .linkages
        .iter()
        .map(|l| {
            let count = if l.source.is_inbox {
                None
            } else {
                sent.get(&(l.source.component, l.source.name.as_str()))
            };
            (end(&l.source), end(&l.sink), count.copied())
        })
        .collect();
    let width = rows.iter().map(|(a, ..)| a.len()).max().unwrap_or(0);
    let width_to = rows.iter().map(|(_, b, _)| b.len()).max().unwrap_or(0);
    let mut out = format!("{} components, {} links:", snapshot.components.len(), rows.len());
    for (from, to, count) in rows {
        let _ = write!(out, "\n  {from:width$} -> {to:width_to$}");
        if let Some(n) = count.filter(|n| *n > 0) {
            let _ = write!(out, "  {n} message{}", if n == 1 { "" } else { "s" });
        }
    }
    out
}
