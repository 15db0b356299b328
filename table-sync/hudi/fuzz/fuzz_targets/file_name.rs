#![no_main]
//! See `table_sync_hudi_fuzz::file_name`.

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = table_sync_hudi_fuzz::file_name::target(data);
});
