//! Refresh tokens: 32 random bytes, of which the database has only a hash. Writes no table.
//!
//! The row of a spent token also holds its successor, encrypted with the spent token itself. So a client that lost the
//! answer to a refresh and asks again gets the same successor, and a reader of the database learns no token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

pub(super) struct RefreshToken([u8; 32]);

impl RefreshToken {
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        Ok(Self(bytes))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    pub(super) fn written(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        digest(&[&self.0])
    }

    /// Encrypts the next token with this one. The pad is used once, because a token is spent once.
    pub(super) fn seal(&self, next: &Self) -> [u8; 32] {
        let pad = digest(&[b"successor", &self.0]);
        std::array::from_fn(|i| next.0[i] ^ pad[i])
    }

    pub(super) fn unseal(&self, sealed: &[u8]) -> Result<Self> {
        let sealed = sealed.try_into().map_err(Error::internal)?;
        Ok(Self(self.seal(&Self(sealed))))
    }
}

pub(super) fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
