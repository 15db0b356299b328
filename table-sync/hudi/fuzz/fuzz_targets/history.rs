#![no_main]
//! See `table_sync_hudi_fuzz::history`.
//!
//! A panic inside the Parquet or Arrow libraries is caught by the reader and is no finding; any other panic ends
//! the run, as libFuzzer wants it.

use std::panic::PanicHookInfo;

fn is_library(info: &PanicHookInfo<'_>) -> bool {
    let file = info.location().map_or("", std::panic::Location::file);
    ["/parquet-", "/arrow-", "/rustc/", "/bytes-"].iter().any(|part| file.contains(part))
}

libfuzzer_sys::fuzz_target!(
    init: {
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !is_library(info) {
                abort(info);
            }
        }));
    },
    |data: &[u8]| {
        let _ = table_sync_hudi_fuzz::history::target(data);
    }
);
