//! Counts of requests and bytes: for reports, and to prove what an idle pass costs.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a store was asked so far, over all clones of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Objects, or ranges of them, that were read.
    pub gets: u64,
    /// Objects whose facts were asked for.
    pub heads: u64,
    /// Listings that were started.
    pub lists: u64,
    /// Writes: objects, parts, and the requests that open and close a multipart upload.
    pub puts: u64,
    /// Copies inside the store.
    pub copies: u64,
    /// Deletes, including given up multipart uploads.
    pub deletes: u64,
    /// Body bytes read.
    pub read_bytes: u64,
    /// Body bytes written.
    pub written_bytes: u64,
}

impl Counters {
    /// All requests.
    pub fn requests(&self) -> u64 {
        self.gets + self.heads + self.lists + self.puts + self.copies + self.deletes
    }
}

/// Class of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Class {
    Get,
    Head,
    List,
    Put,
    Copy,
    Delete,
}

#[derive(Debug, Default)]
pub(crate) struct Meter {
    gets: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    puts: AtomicU64,
    copies: AtomicU64,
    deletes: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

impl Meter {
    pub(crate) fn request(&self, class: Class) {
        let counter = match class {
            Class::Get => &self.gets,
            Class::Head => &self.heads,
            Class::List => &self.lists,
            Class::Put => &self.puts,
            Class::Copy => &self.copies,
            Class::Delete => &self.deletes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            gets: load(&self.gets),
            heads: load(&self.heads),
            lists: load(&self.lists),
            puts: load(&self.puts),
            copies: load(&self.copies),
            deletes: load(&self.deletes),
            read_bytes: load(&self.read_bytes),
            written_bytes: load(&self.written_bytes),
        }
    }
}
