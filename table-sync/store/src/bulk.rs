//! Reading large objects through `object_store`: bounded waits, and taken up again where a
//! connection broke.
//!
//! A client with a time-out for the whole request cuts every long body; one without waits for
//! ever. So bodies are read without one, and each wait for the next bytes is bounded here.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use tokio::time::timeout;

use crate::error::{LengthError, ReadError};
use crate::objects::read_error;
use crate::secret::Foreign;

/// How often one body is taken up again after its connection broke.
const RESUMES_MAX: u32 = 5;
/// Pause before a body is taken up again, times the number of the attempt.
const RESUME_PAUSE: Duration = Duration::from_millis(200);

/// Which content of which object is read, and how patiently.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) if_match: Option<String>,
    pub(crate) version: Option<String>,
    /// Longest wait for an answer or for the next bytes.
    pub(crate) patience: Duration,
}

impl Source {
    /// Opens a range, or all of it.
    pub(crate) async fn open(&self, range: Option<Range<u64>>) -> Result<GetResult, ReadError> {
        let key = self.path.as_ref();
        let options = GetOptions {
            if_match: self.if_match.clone(),
            version: self.version.clone(),
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        match timeout(self.patience, self.store.get_opts(&self.path, options)).await {
            Ok(found) => found.map_err(|error| read_error(key, error)),
            Err(_) => Err(ReadError::io(key, self.waited())),
        }
    }

    fn waited(&self) -> Foreign {
        Foreign(format!("nothing came within {:?}", self.patience))
    }

    /// The body of what was opened.
    pub(crate) fn body(self, opened: GetResult) -> BoxStream<'static, Result<Bytes, ReadError>> {
        let Range { start, end } = opened.range.clone();
        let meta = opened.meta.clone();
        let chunks = Some(opened.into_stream());
        let reader = Reader { source: self, meta, at: start, end, resumes: 0, chunks };
        futures::stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

struct Reader {
    source: Source,
    meta: ObjectMeta,
    at: u64,
    end: u64,
    resumes: u32,
    chunks: Option<BoxStream<'static, object_store::Result<Bytes>>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while self.at < self.end {
            let broken = match self.chunk().await {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(broken) => broken,
            };
            let can_resume = self.meta.e_tag.is_some() && self.resumes < RESUMES_MAX;
            if !can_resume || matches!(broken, ReadError::Changed { .. }) {
                return Err(broken);
            }
            self.resumes += 1;
            tracing::debug!(key = %self.source.path, at = self.at, "body is taken up again");
            tokio::time::sleep(RESUME_PAUSE * self.resumes).await;
            self.resume().await?;
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Bytes, ReadError> {
        let key = self.source.path.as_ref();
        let short = || {
            let (found, expected) = (self.at, self.end);
            ReadError::io(key, LengthError::Short { found, expected })
        };
        let chunks = self.chunks.as_mut().ok_or_else(short)?;
        loop {
            let bytes = match timeout(self.source.patience, chunks.next()).await {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => return Err(read_error(key, error)),
                Ok(None) => {
                    let (found, expected) = (self.at, self.end);
                    return Err(ReadError::io(key, LengthError::Short { found, expected }));
                }
                Err(_) => return Err(ReadError::io(key, self.source.waited())),
            };
            if bytes.is_empty() {
                continue;
            }
            if bytes.len() as u64 > self.end - self.at {
                let expected = self.end;
                return Err(ReadError::io(key, LengthError::Long { expected }));
            }
            self.at += bytes.len() as u64;
            return Ok(bytes);
        }
    }

    /// Opens the rest, on the condition that it is the rest of the same content.
    async fn resume(&mut self) -> Result<(), ReadError> {
        self.chunks = None;
        let mut source = self.source.clone();
        source.if_match = self.meta.e_tag.clone();
        let opened = source.open(Some(self.at..self.end)).await?;
        let same = opened.meta.e_tag == self.meta.e_tag && opened.meta.size == self.meta.size;
        if !same {
            return Err(ReadError::changed(self.source.path.as_ref()));
        }
        self.chunks = Some(opened.into_stream());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    /// A body whose connection hangs or breaks after some bytes.
    async fn opened(
        source: &Source,
        good: usize,
        then: BoxStream<'static, object_store::Result<Bytes>>,
    ) -> GetResult {
        let whole = source.store.get(&source.path).await.unwrap();
        let (meta, range) = (whole.meta.clone(), whole.range.clone());
        let attributes = whole.attributes.clone();
        let bytes = whole.bytes().await.unwrap().slice(..good);
        let chunks = futures::stream::iter([Ok(bytes)]).chain(then).boxed();
        let payload = object_store::GetResultPayload::Stream(chunks);
        GetResult { payload, meta, range, attributes }
    }

    async fn source() -> Source {
        let store = Arc::new(InMemory::new());
        let path = Path::from("k");
        store.put(&path, Bytes::from_static(b"0123456789").into()).await.unwrap();
        let patience = Duration::from_millis(50);
        Source { store, path, if_match: None, version: None, patience }
    }

    async fn whole(body: BoxStream<'static, Result<Bytes, ReadError>>) -> Result<Bytes, ReadError> {
        let chunks: Vec<Bytes> = futures::TryStreamExt::try_collect(body).await?;
        Ok(chunks.concat().into())
    }

    #[tokio::test]
    async fn broken_and_stalled_bodies_are_taken_up_again() {
        let broken = || {
            let error = object_store::Error::Generic { store: "test", source: "broken".into() };
            futures::stream::iter([Err(error)]).boxed()
        };
        let source = source().await;
        for then in [broken(), futures::stream::pending().boxed(), futures::stream::empty().boxed()]
        {
            let opened = opened(&source, 4, then).await;
            assert_eq!(whole(source.clone().body(opened)).await.unwrap(), "0123456789");
        }
    }

    #[tokio::test]
    async fn changed_object_is_not_mixed_in() {
        let source = source().await;
        let opened = opened(&source, 4, futures::stream::empty().boxed()).await;
        source.store.put(&source.path, Bytes::from_static(b"9876543210").into()).await.unwrap();
        let error = whole(source.clone().body(opened)).await.unwrap_err();
        assert!(matches!(error, ReadError::Changed { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn long_body_is_refused() {
        let source = source().await;
        let more = futures::stream::iter([Ok(Bytes::from_static(b"more"))]).boxed();
        let opened = opened(&source, 10, more).await;
        // What is beyond the announced end is not looked at.
        assert_eq!(whole(source.clone().body(opened)).await.unwrap(), "0123456789");
    }
}
