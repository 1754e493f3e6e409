//! The number of an order, as people read it out. Writes no table.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The short number of an order, which a person can read out. It is a bijection of a counter, so it is unique. Neighbours look
/// different, so a wrong letter rarely gives the number of another order. It hides nothing: who knows the factor below can
/// tell how many orders there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderNumber(pub i64);

impl OrderNumber {
    /// 7 characters of 5 bits each. The factor is odd, so it has an inverse modulo 2^35: no two counters give the same number.
    const BITS: u32 = 35;
    const FACTOR: u64 = 0x5_A3C9_17D3;
    /// Undoes the factor. Newton's method doubles the number of right bits with each step.
    const INVERSE: u64 = {
        let (mut inverse, mut steps) = (1_u64, 0);
        while steps < 6 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(Self::FACTOR.wrapping_mul(inverse)));
            steps += 1;
        }
        inverse
    };
    /// Crockford's alphabet, without letters that look like digits.
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scattered = self.0.cast_unsigned().wrapping_mul(Self::FACTOR) & ((1 << Self::BITS) - 1);
        f.write_str("M-")?;
        (0..Self::BITS / 5).rev().try_for_each(|digit| {
            let index = usize::try_from(scattered >> (5 * digit) & 31).expect("five bits are below 32");
            write!(f, "{}", char::from(Self::ALPHABET[index]))
        })
    }
}

impl FromStr for OrderNumber {
    type Err = Invalid;

    /// In any case, and without the `M-` too. Letters that look like digits count as those digits.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("invalid_number", "an order's number looks like M-4XK29QC");
        let text = text.trim().to_ascii_uppercase().replace(['O'], "0").replace(['I', 'L'], "1");
        let digits = text.strip_prefix("M-").unwrap_or(&text);
        if digits.len() != 7 {
            return Err(wrong());
        }
        let scattered = digits.bytes().try_fold(0_u64, |number, digit| {
            let digit = Self::ALPHABET.iter().position(|letter| *letter == digit)?;
            Some(number << 5 | u64::try_from(digit).ok()?)
        });
        let counter = scattered.ok_or_else(wrong)?.wrapping_mul(Self::INVERSE) & ((1 << Self::BITS) - 1);
        Ok(Self(counter.cast_signed()))
    }
}
