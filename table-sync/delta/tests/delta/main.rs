//! Delta tables against the reader models: every prefix of what is published must be a state
//! that readers open truly or refuse loudly.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub
)]

mod corpus;
mod describe;
mod farewell;
mod headroom;
mod hostile;
mod inspect;
mod late;
mod live;
mod publish;
mod replica;
mod requests;
mod schema;
mod site;
