#![no_main]
//! See `table_sync_hudi_fuzz::manifest`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = table_sync_hudi_fuzz::manifest::target(data);
});
