//! Two threads and a crossbeam channel.

pub(crate) fn stream(messages: u64) {
    let (to, from) = crossbeam_channel::bounded(4096);
    let thread = std::thread::spawn(move || {
        for i in 0..messages {
            let _ = to.send(i);
        }
    });
    let mut sum = 0_u64;
    for n in from {
        sum = sum.wrapping_add(n);
    }
    std::hint::black_box(sum);
    let _ = thread.join();
}
