//! The gate: a share of transfers that others hand out, beside the limits of the pass itself.

use async_trait::async_trait;

/// A place among the transfers, given back when it is dropped.
pub type Admission = Box<dyn Send>;

/// Lets files in one by one, so that whoever runs many passes at once can share what they use.
#[async_trait]
pub trait TransferGate: Send + Sync {
    /// Waits until one more file may be copied. The answer is dropped when the file is done, or
    /// given up.
    ///
    /// `bytes`: the file's size, where the log states it.
    async fn admit(&self, bytes: Option<u64>) -> Admission;

    /// Waits until so many more bytes may pass. Without a limit of its own it does not wait.
    async fn take(&self, bytes: usize) {
        let _ = bytes;
    }
}
