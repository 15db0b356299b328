//! Fixtures, table builder, reader models and test servers.
//!
//! For tests and benchmarks only, never shipped. The reader models are the product's oracle: they
//! share no code with the crates that they judge.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use bytes::Bytes;

pub mod builder;
pub mod corpus;
pub mod fault;
pub mod feed;
pub mod generate;
pub mod models;
pub mod record;
pub mod s3;
pub mod servers;

/// The objects of one table: key relative to the table root, raw (already decoded), to bytes.
/// Objects of other tables that its log names have their decoded URL, `s3://bucket/key`, as key.
pub type Objects = BTreeMap<String, Bytes>;
