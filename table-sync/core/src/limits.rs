//! Every limit of the replicator that is not a matter of configuration.

/// Longest key below a table root, in bytes. S3 and GCS allow 1,024 for the whole key.
pub const PATH_BYTES_MAX: usize = 1024;

/// Longest line of a commit, in bytes. Spark writes stats of a few KiB; a line above this is an
/// attack or a damage.
pub const LINE_BYTES_MAX: usize = 64 << 20;

/// Largest commit object that is published, in bytes. S3 takes single PUTs up to 5 GB.
pub const COMMIT_BYTES_MAX: u64 = 4 << 30;

/// A commit object up to this size is kept in memory; a larger one spools to disk. In bytes.
pub const COMMIT_BYTES_IN_MEMORY_MAX: u64 = 8 << 20;

/// Deepest nesting of JSON that is followed.
pub const JSON_DEPTH_MAX: usize = 128;

/// Largest small object (hint, descriptor, `_last_checkpoint`) that is read, in bytes.
pub const SMALL_OBJECT_BYTES_MAX: u64 = 4 << 20;

/// How far below the published head each pass looks for objects that came late, in positions.
pub const LOOK_BACK_POSITIONS: u64 = 100;
