//! Hudi timeline bytes to core types. Describes; never writes.

mod append;
pub mod archive;
mod archived;
mod avro;
mod cache;
pub mod error;
pub mod file_name;
mod guard;
mod headroom;
pub mod history;
mod inspect;
pub mod instant;
mod jump;
mod late;
mod log;
mod look;
mod mark;
pub mod metadata;
mod mirror;
mod poll;
pub mod properties;
mod published;
mod replica;
mod retire;
mod slices;
mod source;
mod state;
mod timeline;
mod unpublish;

pub use error::DecodeError;
pub use inspect::{Inspection, Refused};
pub use log::{History, HudiLog, MetadataTable, Options, Readers, Side, Slices, V6Window};
pub use look::Margin;
pub use published::Published;
