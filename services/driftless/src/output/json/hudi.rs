//! `inspect` of a Hudi table.

use serde::Serialize;
use table_sync_core::Position;
use table_sync_hudi::Inspection;

use super::RefusedView;

#[derive(Debug, Serialize)]
pub(crate) struct HudiInspectView<'a> {
    source: &'a str,
    format: &'static str,
    replicable: bool,
    blocked: Option<RefusedView<'a>>,
    head: Option<Position>,
    name: Option<&'a str>,
    table_version: Option<u32>,
    table_type: Option<&'static str>,
    timeline: TimelineView<'a>,
    metadata_partitions: &'a [String],
    record_key: &'a [String],
    partition_columns: &'a [String],
    key_generator: Option<&'a str>,
    merge: Option<&'a str>,
    ordering: &'a [String],
    reader_min: Option<&'static str>,
    files: u64,
    logs: u64,
    bytes: u64,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct TimelineView<'a> {
    layout: Option<u32>,
    completed: u64,
    pending: &'a [String],
}

impl<'a> HudiInspectView<'a> {
    pub(crate) fn of(source: &'a str, found: &'a Inspection) -> Self {
        Self {
            source,
            format: "hudi",
            replicable: found.refusal.is_none(),
            blocked: found.refusal.as_ref().map(|refusal| RefusedView {
                code: refusal.code.as_str(),
                message: &refusal.message,
            }),
            head: found.head,
            name: found.name.as_deref(),
            table_version: found.table_version,
            table_type: found.table_type,
            timeline: TimelineView {
                layout: found.timeline_layout,
                completed: found.completed_instants,
                pending: &found.pending,
            },
            metadata_partitions: &found.metadata_partitions,
            record_key: &found.record_key,
            partition_columns: &found.partition_columns,
            key_generator: found.key_generator.as_deref(),
            merge: found.merge.as_deref(),
            ordering: &found.ordering,
            reader_min: found.reader_min,
            files: found.files,
            logs: found.logs,
            bytes: found.bytes,
            warnings: &found.warnings,
        }
    }
}
