//! The place in the feed where a reader goes on: a position, as text that a client only sends back. It depends on no filter,
//! process or release. Writes no table.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Text that we did not make is refused, and not read as some position.
const CHECK: usize = 4;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With the oldest event that is kept.
    Oldest,
    /// After the newest event.
    Now,
    Position(i64),
}

pub fn encode(position: i64) -> String {
    let position = position.to_be_bytes();
    URL_SAFE_NO_PAD.encode([&position[..], &check(position)].concat())
}

impl After {
    pub fn parse(text: Option<&str>) -> Result<Self> {
        match text {
            None => Ok(Self::Oldest),
            Some("now") => Ok(Self::Now),
            Some(text) => decode(text).map(Self::Position).ok_or_else(|| {
                let message =
                    "this is neither `now` nor a `next_cursor` of the feed; leave it out to begin with the oldest";
                Error::field("after", "invalid_cursor", message)
            }),
        }
    }
}

fn decode(text: &str) -> Option<i64> {
    let bytes: [u8; 8 + CHECK] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let position: [u8; 8] = bytes[..8].try_into().expect("8 bytes");
    let position_is_ours = check(position) == bytes[8..] && i64::from_be_bytes(position) >= 0;
    position_is_ours.then(|| i64::from_be_bytes(position))
}

fn check(position: [u8; 8]) -> [u8; CHECK] {
    let digest = Sha256::digest([&b"feed"[..], &position].concat());
    digest[..CHECK].try_into().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_and_nothing_else_is_one() {
        for position in [0, 1, 1 << 40 | 7, i64::MAX] {
            assert_eq!(After::parse(Some(&encode(position))).unwrap(), After::Position(position));
        }
        assert_eq!(After::parse(None).unwrap(), After::Oldest);
        assert_eq!(After::parse(Some("now")).unwrap(), After::Now);
        let mut other = encode(7).into_bytes();
        other[9] ^= 1;
        for wrong in ["", "Now", "0", "7", "AAAAAAAAAAAAAAAA", &encode(-1), std::str::from_utf8(&other).unwrap()] {
            assert_eq!(After::parse(Some(wrong)).unwrap_err().code(), "invalid_cursor", "{wrong}");
        }
    }
}
