//! Time-based one-time passwords (RFC 6238): SHA-1, 30 seconds, 6 digits, which every authenticator app understands.
//! Writes no table.
//!
//! This is the RFC's arithmetic over the crates `hmac` and `sha1`. A crate for it would be longer than the code, and
//! bring QR codes and URL parsers.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// A code is good for its own 30 seconds and those before and after, because clocks differ and typing takes time.
const STEPS_BESIDE: i64 = 1;
const STEP_SECONDS: i64 = 30;
/// 160 bits: what RFC 4226 recommends.
pub const SECRET_BYTES: usize = 20;

/// The number of the 30 seconds that this Unix time is in.
pub fn step_at(unix_seconds: i64) -> i64 {
    unix_seconds.div_euclid(STEP_SECONDS)
}

/// The code of a time step.
pub fn code(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(&step.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let start = usize::from(hash[19] & 0x0f);
    let number = u32::from_be_bytes([hash[start], hash[start + 1], hash[start + 2], hash[start + 3]]) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The time step that a code belongs to, if it is good at this time.
pub fn step_of(secret: &[u8], written: &str, unix_seconds: i64) -> Option<i64> {
    let now = step_at(unix_seconds);
    (now - STEPS_BESIDE..=now + STEPS_BESIDE).find(|step| code(secret, *step) == written)
}

/// The secret as people type it (RFC 4648, without padding).
pub fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - count) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Appendix B, of whose 8 digits we take the last 6.
        for (seconds, written) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(SECRET, step_at(seconds)), written);
        }
    }

    #[test]
    fn a_code_is_good_for_its_time_and_a_step_beside_it() {
        let start = 30_000_000; // The beginning of a step.
        let written = code(SECRET, step_at(start));
        for (seconds, good) in [(-31, false), (-30, true), (0, true), (29, true), (59, true), (60, false)] {
            let step = step_of(SECRET, &written, start + seconds);
            assert_eq!(step, good.then_some(step_at(start)), "{seconds}");
        }
        assert_eq!(step_of(SECRET, "", start), None);
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(base32(SECRET), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }
}
