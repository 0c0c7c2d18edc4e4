//! The lines between the nodes: what is sent takes its time, and may be cut.

use super::*;

impl World {
    pub(super) fn deliver(&mut self, conn: usize, end: usize, data: Vec<u8>) {
        if !self.conns[conn].open {
            return;
        }
        let now = self.now;
        let End { actor, key, .. } = self.conns[conn].ends[end];
        match &mut self.actors[actor] {
            Actor::Node(node) => {
                if !node.torrent.can_receive(key) {
                    self.conns[conn].ends[end].paused = true;
                }
                let there = &mut self.conns[conn].ends[end];
                if there.paused || there.waits {
                    there.held.push_back(data);
                    return;
                }
                let Actor::Node(node) = &mut self.actors[actor] else { return };
                if node.down.meters(0) && node.torrent.expects_blocks(key) {
                    there.held.push_back(data);
                    there.waits = true;
                    node.down.ask(0, key);
                    node.torrent.hold(now, key, node.down.pace(0));
                    return self.settle(actor);
                }
                let room = node.torrent.room(now, key, &mut node.pool.borrow_mut());
                if room == 0 {
                    node.thirsts += 1;
                    there.paused = true;
                    there.held.push_back(data);
                    return self.settle(actor);
                }
                let mut data = data;
                let behind = data.split_off(data.len().min(room));
                node.down.charge(now, 0, data.len() as u64);
                // One time by way of a buffer, the other time straight to its place.
                let result = if self.ways.bool() && node.torrent.land(key, &mut self.landing) {
                    let mut rest = &data[..];
                    self.landing.for_each_slice(|place| {
                        let here = place.len().min(rest.len());
                        place[..here].copy_from_slice(&rest[..here]);
                        rest = &rest[here..];
                    });
                    self.landed += 1;
                    node.torrent.landed(
                        now,
                        key,
                        &mut self.landing,
                        data.len(),
                        rest,
                        &mut node.pool.borrow_mut(),
                    )
                } else {
                    node.torrent.receive(now, key, &data, &mut node.pool.borrow_mut())
                };
                if let Err(error) = result {
                    let other = self.conns[conn].ends[1 - end].actor;
                    node.lost.push((address(other), error));
                    node.conns.remove(&key);
                    self.close(conn, Some(end));
                }
                self.settle(actor);
                if !behind.is_empty() {
                    self.deliver(conn, end, behind);
                }
            }
            Actor::Script(script) => {
                let answer = script.receive(&self.payload, &data);
                self.transmit(conn, end, answer, None);
            }
        }
    }

    pub(super) fn transmit(&mut self, conn: usize, end: usize, data: Vec<u8>, sent: Option<(u32, u64)>) {
        if data.is_empty() || !self.conns[conn].open {
            return;
        }
        let actor = self.conns[conn].ends[end].actor;
        let (done, latency) = match &mut self.actors[actor] {
            Actor::Node(node) => {
                let time = Duration::from_secs_f64(data.len() as f64 / node.cfg.bandwidth);
                node.busy_until = node.busy_until.max(self.now) + time;
                (node.busy_until, node.cfg.latency)
            }
            Actor::Script(_) => (self.now, Duration::from_millis(10)),
        };
        if let Some((blocks, bytes)) = sent {
            self.at_time(done, Event::Sent { conn, end, blocks, bytes });
        }
        // In portions, as a socket would give them.
        let mut at = done + latency;
        for chunk in data.chunks(65_000) {
            self.at_time(at, Event::Deliver { conn, end: 1 - end, data: chunk.to_vec() });
            at += Duration::from_nanos(1);
        }
    }

    /// Closes a connection; both ends learn of it, except the one that did it.
    pub(super) fn close(&mut self, conn: usize, by: Option<usize>) {
        if !std::mem::replace(&mut self.conns[conn].open, false) {
            return;
        }
        for end in 0..2 {
            if by != Some(end) {
                self.at(Duration::from_millis(10), Event::Closed { conn, end });
            }
        }
    }

    /// Changes what a node wants.
    pub(crate) fn select(&mut self, node: usize, priority: impl Fn(u32) -> u8) {
        let pieces = self.payload.geometry.piece_count();
        let priorities: Vec<_> = (0..pieces).map(|i| Priority::new(priority(i)).unwrap()).collect();
        let now = self.now;
        self.node_mut(node).torrent.set_priorities(now, &priorities);
        self.settle(node);
    }

    /// Does what a node wants done, until it wants nothing.
    pub(crate) fn settle(&mut self, id: usize) {
        if matches!(self.actors[id], Actor::Script(_)) {
            return;
        }
        self.carry_out(id);
        self.deal(id);
    }
}
