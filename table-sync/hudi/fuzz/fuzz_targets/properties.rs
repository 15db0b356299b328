#![no_main]
//! See `table_sync_hudi_fuzz::properties`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = table_sync_hudi_fuzz::properties::target(data);
});
