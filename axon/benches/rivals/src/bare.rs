//! What the same work costs by hand: queues and a loop, with nobody to schedule. The bound for everything else.

use std::collections::VecDeque;

use crate::programs::BURST;

pub(crate) fn pipeline(relays: usize, messages: u64) {
    let mut queues: Vec<VecDeque<u64>> = vec![VecDeque::new(); relays + 1];
    let (mut sent, mut sum) = (0, 0_u64);
    while sent < messages {
        for i in 0..BURST.min(messages - sent) {
            queues[0].push_back(i);
        }
        sent += BURST.min(messages - sent);
        for r in 0..relays {
            while let Some(n) = queues[r].pop_front() {
                queues[r + 1].push_back(std::hint::black_box(n + 1));
            }
        }
        while let Some(n) = queues[relays].pop_front() {
            sum = sum.wrapping_add(n);
        }
    }
    std::hint::black_box(sum);
}

pub(crate) fn ring(nodes: usize, rounds: u64) {
    let mut queues: Vec<VecDeque<u64>> = vec![VecDeque::new(); nodes];
    queues[0].push_back(0);
    for _ in 0..rounds {
        for i in 0..nodes {
            while let Some(n) = queues[i].pop_front() {
                queues[(i + 1) % nodes].push_back(std::hint::black_box(n + 1));
            }
        }
    }
}

pub(crate) fn fan_in(producers: usize, each: u64) {
    let (mut queue, mut sum) = (VecDeque::new(), 0_u64);
    let mut sent = 0;
    while sent < each {
        let burst = BURST.min(each - sent);
        for _ in 0..producers {
            for i in 0..burst {
                queue.push_back(std::hint::black_box(i));
            }
        }
        while let Some(n) = queue.pop_front() {
            sum = sum.wrapping_add(n);
        }
        sent += burst;
    }
    std::hint::black_box(sum);
}
