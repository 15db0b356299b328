#![no_main]
//! See `table_sync_delta_fuzz::last_checkpoint`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = table_sync_delta_fuzz::last_checkpoint::target(data);
});
