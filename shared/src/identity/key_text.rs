//! The text of API keys: `mr_test_<8 lookup>_<32 secret>_<6 check>`. Writes no table.
//!
//! The check finds typing errors without the database, and lets scanners tell a leaked key from other text.

use secrecy::SecretString;

use super::refresh_tokens::digest;
use crate::error::{Error, Result};

/// In the order of their values as digits.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const LOOKUP: usize = 8;
/// 32 of 62 letters are 190 bits.
const SECRET: usize = 32;
/// 62^6 is more than 2^32.
const CHECK: usize = 6;

/// Where a key takes money. The simulated payment provider is the only one there is; the next one brings `Live`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Live,
    Test,
}

impl Mode {
    const fn start(self) -> &'static str {
        match self {
            Self::Live => "mr_live_",
            Self::Test => "mr_test_",
        }
    }
}

/// A key that was just made. Only its holder ever has the text.
pub(super) struct NewKeyText {
    pub text: SecretString,
    pub prefix: String,
    pub hash: [u8; 32],
}

impl NewKeyText {
    pub fn random(mode: Mode) -> Result<Self> {
        let prefix = format!("{}{}", mode.start(), random_letters(LOOKUP)?);
        let unchecked = format!("{prefix}_{}", random_letters(SECRET)?);
        let text = format!("{unchecked}_{}", check(&unchecked));
        Ok(Self { hash: hash(&text), prefix, text: text.into() })
    }
}

/// Looks like a key of ours, so that it is not taken for an access token.
pub fn is_key(token: &str) -> bool {
    token.starts_with("mr_")
}

/// The part of a key that finds its row. `None`: the form or the check is wrong.
pub(super) fn prefix_of(key: &str) -> Option<&str> {
    let (unchecked, given) = key.rsplit_once('_')?;
    let (prefix, secret) = unchecked.rsplit_once('_')?;
    let lookup = [Mode::Live, Mode::Test].iter().find_map(|mode| prefix.strip_prefix(mode.start()))?;
    let of_length = |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let fine = of_length(lookup, LOOKUP) && of_length(secret, SECRET) && check(unchecked) == given;
    fine.then_some(prefix)
}

/// What the database has of a key.
pub(super) fn hash(key: &str) -> [u8; 32] {
    digest(&[key.as_bytes()])
}

/// CRC-32 (IEEE) in base 62.
fn check(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

/// Bytes from 248 on are dropped: with them, the first letters of the alphabet would be more likely.
fn random_letters(count: usize) -> Result<String> {
    const FAIR: u8 = 248;
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).map_err(Error::internal)?;
        let fair = bytes.iter().filter(|byte| **byte < FAIR).take(count - letters.len());
        letters.extend(fair.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])));
    }
    Ok(letters)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_check_is_crc_32_in_base_62() {
        // CRC-32 of "123456789" is 0xCBF43926.
        assert_eq!(check("123456789"), "3jZRME");
        assert_eq!(check(""), "000000");
    }

    #[test]
    fn a_new_key_is_read_back_and_no_other_text_is() {
        let key = NewKeyText::random(Mode::Test).unwrap();
        let text = key.text.expose_secret();
        assert_eq!((text.len(), prefix_of(text)), (56, Some(key.prefix.as_str())));
        for position in 0..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[position] = if changed[position] == b'x' { b'y' } else { b'x' };
            assert_eq!(prefix_of(&String::from_utf8(changed).unwrap()), None, "position {position}");
        }
        for wrong in ["", "mr_", "mr_test_", "mr_test___", "mr_prod_12345678", &text[..55], &format!("{text}0")] {
            assert_eq!(prefix_of(wrong), None, "{wrong}");
        }
    }
}
