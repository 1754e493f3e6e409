//! Code 128 (set B): a text as bars that every scanner reads.

use maud::{Markup, html};

/// The widths of bars and gaps of each symbol (ISO/IEC 15417).
const SYMBOLS: [&str; 107] = [
    "212222", "222122", "222221", "121223", "121322", "131222", "122213", "122312", "132212", "221213", "221312",
    "231212", "112232", "122132", "122231", "113222", "123122", "123221", "223211", "221132", "221231", "213212",
    "223112", "312131", "311222", "321122", "321221", "312212", "322112", "322211", "212123", "212321", "232121",
    "111323", "131123", "131321", "112313", "132113", "132311", "211313", "231113", "231311", "112133", "112331",
    "132131", "113123", "113321", "133121", "313121", "211331", "231131", "213113", "213311", "213131", "311123",
    "311321", "331121", "312113", "312311", "332111", "314111", "221411", "431111", "111224", "111422", "121124",
    "121421", "141122", "141221", "112214", "112412", "122114", "122411", "142112", "142211", "241211", "221114",
    "413111", "241112", "134111", "111242", "121142", "121241", "114212", "124112", "124211", "411212", "421112",
    "421211", "212141", "214121", "412121", "111143", "111341", "131141", "114113", "114311", "411113", "411311",
    "113141", "114131", "311141", "411131", "211412", "211214", "211232", "2331112",
];
const START_B: usize = 104;
const STOP: usize = 106;

/// Letters, digits and signs of ASCII; others are left out.
pub fn code128(text: &str) -> Markup {
    let values: Vec<usize> =
        text.bytes().filter(|byte| (32..127).contains(byte)).map(|byte| usize::from(byte) - 32).collect();
    let check = (START_B + values.iter().zip(1..).map(|(value, place)| value * place).sum::<usize>()) % 103;
    let symbols = [START_B].into_iter().chain(values).chain([check, STOP]);
    let (mut at, mut bars) = (0, Vec::new());
    for symbol in symbols {
        // Bars and gaps take turns; each symbol begins with a bar.
        for (place, digit) in SYMBOLS[symbol].bytes().enumerate() {
            let width = usize::from(digit - b'0');
            if place % 2 == 0 {
                bars.push((at, width));
            }
            at += width;
        }
    }
    html! {
        svg.bars viewBox={ "0 0 " (at) " 40" } preserveAspectRatio="none" role="img" aria-label={ "Code of " (text) } {
            @for (x, width) in bars { rect x=(x) y="0" width=(width) height="40" fill="currentColor" {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_eleven_wide_and_the_stop_thirteen() {
        for (value, symbol) in SYMBOLS.iter().enumerate() {
            let width: u32 = symbol.bytes().map(|digit| u32::from(digit - b'0')).sum();
            assert_eq!(width, if value == STOP { 13 } else { 11 }, "{value}");
        }
    }

    #[test]
    fn a_text_is_as_wide_as_its_symbols() {
        // Start, three letters, the check and the stop.
        assert!(code128("M-4").into_string().contains("viewBox=\"0 0 68 40\""));
    }
}
