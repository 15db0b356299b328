//! Pages of lists: opaque cursors that the server has signed.
//!
//! A cursor is good for the list and the filter that it was made for, and for the caller's
//! project. Its content is no secret; that nobody else can make one keeps it free to change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Service;
use crate::error::{Answer, ApiError};

const SIZE_DEFAULT: u32 = 100;
const SIZE_MAX: u32 = 1_000;

/// Bytes of a signature that a token carries.
const MAC_BYTES: usize = 16;

/// A page that was asked for.
pub(crate) struct Page<'a, C> {
    api: &'a Service,
    scope: String,
    size: usize,
    cursor: Option<C>,
}

impl<'a, C: Serialize + DeserializeOwned> Page<'a, C> {
    /// Reads what was asked for. `list` and `filter` are what its tokens are good for.
    pub(crate) fn open(
        api: &'a Service,
        (list, filter): (&str, &impl Serialize),
        (size, token): (Option<u32>, Option<&str>),
    ) -> Answer<Self> {
        let size = size.unwrap_or(SIZE_DEFAULT);
        if !(1..=SIZE_MAX).contains(&size) {
            let message = format!("page_size is {size}: use 1 to {SIZE_MAX}");
            return Err(ApiError::malformed(message).with("parameter", "page_size"));
        }
        let filter = serde_json::to_string(filter).unwrap_or_default();
        let scope = format!("page\n{list}\n{filter}\n");
        let cursor = token.map(|token| unseal(api, &scope, token)).transpose()?;
        Ok(Self { api, scope, size: usize::try_from(size).unwrap_or(usize::MAX), cursor })
    }

    /// Items of a page.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Where the page before ended.
    pub(crate) fn cursor(&self) -> Option<&C> {
        self.cursor.as_ref()
    }

    /// The token of the page after this one.
    pub(crate) fn token(&self, cursor: &C) -> String {
        let payload = serde_json::to_vec(cursor).unwrap_or_default();
        let mut sealed = self.api.sign(&[self.scope.as_bytes(), &payload]).to_vec();
        sealed.truncate(MAC_BYTES);
        sealed.extend(payload);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The token of the next page, where `items` has one item more than the page; that item is
    /// taken away.
    pub(crate) fn cut<T>(&self, items: &mut Vec<T>, cursor: impl Fn(&T) -> C) -> Option<String> {
        if items.len() <= self.size {
            return None;
        }
        items.truncate(self.size);
        items.last().map(|last| self.token(&cursor(last)))
    }
}

impl Page<'_, String> {
    /// Cuts a page out of a list that is short enough to be read whole, ordered by `name`.
    pub(crate) fn of<T>(
        &self,
        items: Vec<T>,
        name: impl Fn(&T) -> &str,
    ) -> (Vec<T>, Option<String>) {
        let after = |item: &T| self.cursor().is_none_or(|cursor| name(item) > cursor.as_str());
        let mut items: Vec<T> = items.into_iter().filter(after).take(self.size + 1).collect();
        let token = self.cut(&mut items, |item| name(item).to_owned());
        (items, token)
    }
}

fn unseal<C: DeserializeOwned>(api: &Service, scope: &str, token: &str) -> Answer<C> {
    let refused = || {
        ApiError::malformed("this page_token is not one of this list: begin again without it")
            .with("parameter", "page_token")
    };
    let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let (mac, payload) = sealed.split_at_checked(MAC_BYTES).ok_or_else(refused)?;
    if !api.verifies(&[scope.as_bytes(), payload], mac) {
        return Err(refused());
    }
    serde_json::from_slice(payload).map_err(|_| refused())
}
