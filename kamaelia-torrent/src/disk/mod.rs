//! Files and hashes, on worker threads.
